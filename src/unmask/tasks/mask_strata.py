"""Which classes masks show, and under which of them an image counts when images are dealt out.

Letters: N images, H x W pixels, K classes.
"""

import numpy as np
from numpy.typing import NDArray

from unmask.config.data import IGNORED


def presence(masks: NDArray[np.uint8], classes: int) -> NDArray[np.bool_]:
    """Which classes every mask shows, (N, K)."""
    found = np.zeros((len(masks), IGNORED + 1), bool)
    for row, mask in enumerate(masks):
        found[row, np.unique(mask)] = True
    return found[:, :classes]


def strata_of(shown: NDArray[np.bool_], most: int | None = None) -> NDArray[np.int64]:
    """The rarest class that each image shows, by the number of images that show it; -1 for none, (N,).

    Args:
        shown: which classes an image shows, (N, K).
        most: largest number of strata, for the classes that most images show; other images go to the rarest of these.
    """
    images = shown.sum(0)
    allowed = images > 0
    while True:
        rarity = np.where(shown & allowed, images, np.iinfo(np.int64).max)
        strata = np.where((shown & allowed).any(1), rarity.argmin(1), -1)
        strata[(strata < 0) & shown.any(1)] = _largest(strata, images)
        kept = np.unique(strata[strata >= 0])
        if most is None or len(kept) <= most:
            return strata.astype(np.int64)
        allowed[kept[images[kept].argmin()]] = False


def _largest(strata: NDArray[np.int64], images: NDArray[np.int64]) -> int:
    kept, sizes = np.unique(strata[strata >= 0], return_counts=True)
    return int(kept[sizes.argmax()]) if len(kept) else int(images.argmax())

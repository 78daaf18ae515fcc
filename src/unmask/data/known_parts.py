"""What is known about images that show parts of their class: which, and where.

Letters: N images, k classes, L parts per class, P = k · L parts in all.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class KnownParts:
    """Ground truth of N images."""

    classes: tuple[str, ...]
    """The k names."""
    labels: Ints
    """(N,)."""
    shown: Bools
    """Which parts of its class an image shows, (N, L)."""
    faint: Bools
    """Parts of other classes that an image shows faintly (distractors), (N, k, L)."""
    boxes: Ints
    """Top, left, bottom, right (exclusive) of each part in pixels, (N, L, 4); -1 where it is absent."""

    @property
    def names(self) -> tuple[str, ...]:
        """The P names: "3.1" is the first part of class 3."""
        return tuple(f"{name}.{part + 1}" for name in self.classes for part in range(self.shown.shape[1]))

    def select(self, rows: Ints | Bools) -> "KnownParts":
        """The truth of some of the images."""
        return KnownParts(self.classes, self.labels[rows], self.shown[rows], self.faint[rows], self.boxes[rows])


class ImageParts(Protocol):
    """The parts of the images of a data set, by their ids."""

    def known(self, ids: Ints) -> KnownParts:
        """The truth of some images, in their order."""
        ...

    def removed(self, ids: Ints) -> NDArray[np.generic]:
        """The same images without any part of their class, as stored, (n, C, H, W)."""
        ...

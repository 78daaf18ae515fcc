"""Find images that occur twice: the same pixels, or the same picture re-saved (other format, size or quality)."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unmask.data.decoding.image_format import ImageFormat, to_format

SIDE = 16
SMALLEST_CORRELATION = 0.998
LARGEST_DIFFERENCE = 0.02
"""Root mean square over a thumbnail's pixels, where black to white is 1."""
FLAT = 0.02
"""Thumbnails with a smaller standard deviation show too little to distinguish."""
NEAR = SIDE * LARGEST_DIFFERENCE + 1e-3
"""Largest distance between two such thumbnails, and what rounding may add."""
CHUNK = 2048


def thumbnail(image: NDArray[np.generic], top: float) -> NDArray[np.float32]:
    """Gray, 16 x 16, as 256 values, of which `top` becomes 1. Other than gray and RGB: the mean over channels."""
    partial = image.dtype.kind == "f" and bool(np.isnan(image).any())
    fill = np.float32(np.nanmean(image.astype(np.float32)) if partial else 0)
    small = np.concatenate([_small(plane[None], top, fill) for plane in image])
    gray = small if len(image) in (1, 3) else small.mean(0, keepdims=True)
    return to_format(gray, ImageFormat.plain((SIDE, SIDE), 1, "float32")).numpy().reshape(-1)


def _small(plane: NDArray[np.generic], top: float, fill: np.float32) -> NDArray[np.float32]:
    """A channel, (1, H, W), at 16 x 16; images are shrunk channel by channel because they may be large."""
    floats = plane.astype(np.float32)
    floats[np.isnan(floats)] = fill
    floats /= np.float32(top)
    return to_format(floats, ImageFormat.plain((SIDE, SIDE), 1, "float32")).numpy()


def same_pixels(digests: Sequence[bytes | None]) -> list[list[int]]:
    """Groups of two or more rows with the same digest; None is not an image."""
    rows: dict[bytes, list[int]] = defaultdict(list)
    for row, digest in enumerate(digests):
        if digest is not None:
            rows[digest].append(row)
    return [group for group in rows.values() if len(group) > 1]


def saved_again(thumbnails: NDArray[np.float32], splits: NDArray[np.str_]) -> list[tuple[int, int]]:
    """Pairs of rows in different splits whose thumbnails agree except for what re-saving changes.

    Correlation at least 0.998 and root mean square difference at most 0.02; flat images are left out. Nothing is
    missed: two such thumbnails are no further apart than 0.02 · 16 along any direction (Cauchy-Schwarz), so in the
    order of their projections on the direction of largest variance each is compared, as a product of matrices, with
    those as near as that.

    Args:
        thumbnails: float32 (N, 256), NaN rows for unreadable images.
        splits: split of each image, (N,).

    Returns:
        (earlier row, later row), in order.
    """
    rows = np.flatnonzero(np.nan_to_num(thumbnails.std(1)) > FLAT)
    values = torch.from_numpy(thumbnails[rows])
    centered = values - values.mean(0)
    place, order = (centered @ torch.linalg.eigh(centered.T @ centered)[1][:, -1]).sort()
    values, rows = values[order], rows[order.numpy()]
    unit = values - values.mean(1, keepdim=True)
    unit /= unit.norm(dim=1, keepdim=True)
    split = torch.from_numpy(np.unique(splits, return_inverse=True)[1][rows])
    found: list[tuple[int, int]] = []
    for start in range(0, len(rows), CHUNK):
        last = place[min(start + CHUNK, len(rows)) - 1] + NEAR
        near = slice(start, int(torch.searchsorted(place, last, right=True)))
        found += _pairs(values[near], unit[near], split[near], rows[near])
    return sorted(found)


def _pairs(values: Tensor, unit: Tensor, split: Tensor, rows: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Pairs of one of the first CHUNK of some images with a later one, as (earlier row, later row)."""
    like = unit[:CHUNK] @ unit.T >= SMALLEST_CORRELATION
    like &= split[:CHUNK, None] != split[None]
    i, j = like.triu(1).nonzero(as_tuple=True)
    close = (values[i] - values[j]).square().mean(1).sqrt() <= LARGEST_DIFFERENCE
    pairs = np.sort(rows[torch.stack([i[close], j[close]], 1).numpy()], 1)
    return [(int(a), int(b)) for a, b in pairs]

"""Masks in arrays: one per image, all 255 if an image has none."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unmask.config.data import IGNORED
from unmask.data.decoding.decode import named
from unmask.data.decoding.mask import MaskCode
from unmask.data.sources.mask_classes import code_of
from unmask.data.sources.source import Arrays, Masks, mask_rows
from unmask.errors import UserError


def mask_arrays(
    parts: Sequence[tuple[str, NDArray[np.generic] | None]],
    shapes: Sequence[tuple[int, ...]],
    classes: Sequence[str] | None,
    where: str,
) -> Masks:
    """Masks of images in arrays, part by part.

    Args:
        parts: the name of a part's masks in messages, and the masks, whole numbers (n, H, W); None if it has none.
        shapes: (n, C, H, W) of the images of each part.
        classes: their names in the order of their indices, if they are named.
        where: begins messages about the names.

    Raises:
        UserError: masks of another number type or shape, or names that are empty or repeated.
    """
    values = np.concatenate([_fitting(*part, shape) for part, shape in zip(parts, shapes, strict=True)])
    has = (values != IGNORED).any((1, 2, 3))
    with named(f"{where}: classes"):
        code = MaskCode() if classes is None else code_of([{"name": name} for name in classes])
    return Masks(Arrays(values[has]), mask_rows(has), code)


def _fitting(where: str, values: NDArray[np.generic] | None, shape: tuple[int, ...]) -> NDArray[np.generic]:
    """Masks as (n, 1, H, W)."""
    count, _, height, width = shape
    if values is None:
        return np.full((count, 1, height, width), IGNORED, np.uint8)
    if values.dtype.kind not in "bui":
        raise UserError(f"{where}: found {values.dtype}: a mask holds whole numbers, the index of each pixel's class")
    if values.shape not in {(count, height, width), (count, 1, height, width), (count, height, width, 1)}:
        raise UserError(
            f"{where}: shape {values.shape}, but {count} images are {height}x{width} (height x width): they must agree"
        )
    return values.reshape(count, 1, height, width)

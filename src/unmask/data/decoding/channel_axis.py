"""Which axis of an array holds the channels: as given, or as its lengths leave no doubt, else the user is asked."""

from typing import Any

from numpy.typing import NDArray

from unmask.config.data import Layout
from unmask.errors import UserError

_FEW = 4
"""Up to so many are more likely channels than pixels."""


def image_of(values: NDArray[Any], layout: Layout | None = None) -> NDArray[Any]:
    """One image, (H, W), (H, W, C) or (C, H, W), as (C, H, W).

    Raises:
        UserError: another number of axes, no pixel, or it is not certain which axis holds the channels.
    """
    if values.ndim not in (2, 3) or 0 in values.shape:
        raise UserError(f"shape {values.shape} is not one image (H, W), (H, W, C) or (C, H, W)")
    if values.ndim == 2:
        return values[None]
    return values.transpose(2, 0, 1) if _is_last(values.shape, layout) else values


def images_of(values: NDArray[Any], layout: Layout | None = None) -> NDArray[Any]:
    """Images, (N, H, W), (N, H, W, C) or (N, C, H, W), as (N, C, H, W). A single color image is an error unless told.

    Raises:
        UserError: another number of axes, no pixel, or it is not certain which axis holds the channels.
    """
    shape = values.shape
    if values.ndim not in (3, 4) or 0 in shape:
        raise UserError(f"shape {shape} is not one of (N, H, W), (N, H, W, C) or (N, C, H, W)")
    if values.ndim == 4:
        if layout == "gray":
            raise UserError(f'shape {shape} has a channel axis; `layout="gray"` is for three axes')
        return values.transpose(0, 3, 1, 2) if _is_last(shape[1:], layout) else values
    if layout is None and _looks_like_color(shape):
        count, height, width = shape
        raise UserError(
            f'shape {shape} is one color image, or {count} gray ones of {height}x{width}: give `layout="gray"`, or '
            '`layout="channels-last"` (or "channels-first") for a single color image'
        )
    return values[:, None] if layout in (None, "gray") else image_of(values, layout)[None]


def _looks_like_color(shape: tuple[int, ...]) -> bool:
    """Whether (N, H, W) may be one image of three or four channels."""
    return shape[1] > shape[2] in (3, 4) or (shape[0] in (3, 4) and min(shape[1:]) > _FEW)


def _is_last(shape: tuple[int, ...], layout: Layout | None) -> bool:
    """Whether the channels of a (C, H, W) or (H, W, C) are on its last axis.

    Certain where one end axis is short (one, four or fewer, or a quarter of the others) and the other is not, or where
    two neighbouring axes are of one length, as those of square images, and the third is not.
    """
    if layout in ("channels-first", "channels-last"):
        return layout == "channels-last"
    first, middle, last = shape
    if middle > 1 and (first == 1) != (last == 1):
        return last == 1
    if_first = first <= _FEW < last or 4 * first <= min(middle, last) or middle == last != first
    if_last = last <= _FEW < first or 4 * last <= min(middle, first) or first == middle != last
    if if_first == if_last:
        raise UserError(
            f"shape {shape}: it is not certain which axis holds the channels: give "
            '`layout="channels-first"` or `layout="channels-last"`'
        )
    return if_last

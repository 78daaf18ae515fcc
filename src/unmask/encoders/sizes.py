"""Image sizes that fit a grid."""

import torch
from torch import Tensor

from unmask.errors import UserError


def grid_of(images: Tensor, cell: int) -> tuple[int, int]:
    """Cells along height and width of images [B, C, H, W]."""
    return images.shape[2] // cell, images.shape[3] // cell


def require_mask(images: Tensor, hidden: Tensor, cell: int) -> None:
    """Require one mask of booleans for each image [B, C, H, W], with the cells that the image has."""
    wanted = (len(images), *grid_of(images, cell))
    if hidden.dtype != torch.bool or tuple(hidden.shape) != wanted:
        name = str(hidden.dtype).removeprefix("torch.")
        raise UserError(
            f"hidden: expected bool {list(wanted)} for images {list(images.shape)} and cells of {cell} pixels, found "
            f"{name} {list(hidden.shape)}"
        )


def require_divisible(image_size: tuple[int, int], unit: int, what: str) -> None:
    """Require that height and width are multiples of `unit`; the error suggests the nearest valid sizes."""
    if image_size[0] % unit or image_size[1] % unit:
        raise UserError(
            f"image_size = {image_size[0]}x{image_size[1]} is not divisible by {what}: use {_nearest(image_size, unit)}"
        )


def _nearest(image_size: tuple[int, int], unit: int) -> str:
    lower = [max(size // unit, 1) * unit for size in image_size]
    upper = [-(-size // unit) * unit for size in image_size]
    options = dict.fromkeys(f"{height}x{width}" for height, width in (lower, upper))
    return " or ".join(options)

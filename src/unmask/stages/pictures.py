"""Reconstructions of a fixed batch as one PNG: a column per image; rows image, what the encoder saw, reconstruction."""

from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.functional import to_pil_image
from torchvision.utils import make_grid

from unmask.data.decoding.image_format import ImageFormat
from unmask.runs.files import atomic_path


def to_display(images: Tensor, normalized: ImageFormat) -> Tensor:
    """Undo a format's normalization; [B, C, H, W] → [B, 3, H, W] in [0, 1]."""
    mean, std = normalized.statistics()
    return to_color((images.detach().float().cpu() * std + mean).clamp(0, 1))


def to_color(images: Tensor) -> Tensor:
    """[B, C, H, W] → [B, 3, H, W]; with channel counts other than 3 the first is shown, in gray."""
    return images if images.shape[1] == 3 else images[:, :1].expand(-1, 3, -1, -1)


def save_picture(path: Path, rows: list[Tensor], *, least_side: int = 96) -> None:
    """Write rows of display images as a grid, small images enlarged without smoothing."""
    side = min(rows[0].shape[-2:])
    factor = max(1, -(-least_side // side))
    tiles = torch.cat(rows).repeat_interleave(factor, -1).repeat_interleave(factor, -2)
    grid = make_grid(tiles, nrow=len(rows[0]), padding=4, pad_value=1.0)
    with atomic_path(path) as temporary:
        to_pil_image(grid).save(temporary, format="PNG")

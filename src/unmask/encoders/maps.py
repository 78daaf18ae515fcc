"""The feature maps of a plain network on whole images, finest first: what dense heads read.

Letters: B images, C channels, H x W pixels.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from unmask.encoders.patchnet import PatchNet
from unmask.encoders.stages import evaluating, first_kernel
from unmask.errors import UserError

_OF_MANY = 4
"""Of maps of one resolution, such as a ViT's blocks, so many are taken, evenly spaced, including the last one."""


def maps_read(model: nn.Module, image_size: tuple[int, int]) -> tuple[int, ...]:
    """Indices of the maps that a dense head reads: all if sizes differ, up to four of equal ones.

    Raises:
        UserError: the model returns no maps.
    """
    sizes = [tuple(one.shape[2:]) for one in _probed(model, None, image_size)]
    chosen: list[int] = []
    for size in dict.fromkeys(sizes):
        own = [index for index, other in enumerate(sizes) if other == size]
        chosen += [own[index] for index in sorted({round(len(own) * k / _OF_MANY) - 1 for k in range(1, 5)} - {-1})]
    return tuple(sorted(chosen))


def map_shapes(model: nn.Module, read: tuple[int, ...], image_size: tuple[int, int]) -> list[tuple[int, int, int]]:
    """Channels, height and width of each of the maps."""
    return [(one.shape[1], one.shape[2], one.shape[3]) for one in _probed(model, read, image_size)]


def feature_maps(model: nn.Module, images: Tensor, read: tuple[int, ...] | None = None) -> list[Tensor]:
    """The maps [B, C_s, H_s, W_s] of these indices, all by default; those of a ViT pass its last norm."""
    if isinstance(model, PatchNet):
        return [model.forward_features(images)]
    forward: Callable[..., Any] | None = getattr(model, "forward_intermediates", None)
    if forward is None:
        raise UserError(f"encoder = {type(model).__name__} gives no maps of its stages: choose another encoder")
    normed = hasattr(model, "num_prefix_tokens")
    return list(forward(images, indices=None if read is None else list(read), norm=normed, intermediates_only=True))


@torch.no_grad()
def _probed(model: nn.Module, read: tuple[int, ...] | None, image_size: tuple[int, int]) -> list[Tensor]:
    like = first_kernel(model)
    with evaluating(model):
        return feature_maps(
            model, torch.zeros(1, like.shape[1], *image_size, device=like.device, dtype=like.dtype), read
        )

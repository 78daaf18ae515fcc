"""A few pixels of every image with their frozen features and classes: what a dense linear probe is fitted on.

Letters: B images, N images in all, P pixels, C channels, D numbers a pixel.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from unmask.config.data import IGNORED
from unmask.randomness import uniform

PIXELS = 8_000
"""About as many pixels are fitted on, from all images alike."""
_FEWEST, _MOST = 16, 1024
"""Pixels of one image."""


@dataclass(frozen=True)
class PixelSample:
    """Pixels that have a class."""

    features: Tensor
    """float32 (P, D)."""
    labels: Tensor
    """int64 (P,)."""


def pixels_each(images: int) -> int:
    """How many pixels of each of so many images are taken."""
    return int(np.clip(PIXELS // max(1, images), _FEWEST, _MOST))


def sample_pixels(masks: Tensor, ids: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Up to `count` pixels of every mask that have a class, drawn at random from the key of their image.

    Args:
        masks: uint8 (B, H, W).
        ids: of the images, int64 (B,).
        count: pixels an image.

    Returns:
        Image and place (row · W + column) of each, int64 (P,), image by image.
    """
    flat = masks.flatten(1).numpy()
    keys = uniform(seed, "dense probe", 0, ids.numpy(), flat.shape[1])
    keys[flat == IGNORED] = 2.0
    places = np.argsort(keys, axis=1, kind="stable")[:, :count]
    kept = np.take_along_axis(keys, places, 1) < 1.0
    image = np.broadcast_to(np.arange(len(flat))[:, None], places.shape)
    return torch.from_numpy(image[kept]), torch.from_numpy(places[kept])


def features_at(maps: list[Tensor], image: Tensor, place: Tensor, size: tuple[int, int]) -> Tensor:
    """Features (P, D) of pixels: every map as it is up-sampled bilinearly to the image, at these pixels alone.

    Args:
        maps: [B, C_s, H_s, W_s] of the network.
        image: to which of the B images a pixel belongs, (P,).
        place: row · W + column, (P,).
        size: height H and width W of the images.
    """
    y = 2 * (place // size[1] + 0.5) / size[0] - 1
    x = 2 * (place % size[1] + 0.5) / size[1] - 1
    points = torch.stack([x, y], 1).float()
    out = torch.zeros(len(place), sum(one.shape[1] for one in maps))
    for index in image.unique().tolist():
        own = image == index
        grid = points[own].view(1, 1, -1, 2)
        read = [
            grid_sample(one[index : index + 1].float().cpu(), grid, padding_mode="border", align_corners=False)
            for one in maps
        ]
        out[own] = torch.cat(read, 1)[0, :, 0].T
    return out


@torch.no_grad()
def sampled(
    maps_of: Callable[[Tensor], list[Tensor]], images: Tensor, masks: Tensor, ids: Tensor, *, count: int, seed: int
) -> PixelSample:
    """Pixels of a batch (B, C, H, W), `count` an image, with the features that a network's maps give them; masks are
    uint8 (B, H, W), ids (B,)."""
    image, place = sample_pixels(masks, ids, count, seed)
    features = features_at(maps_of(images), image, place, (masks.shape[1], masks.shape[2]))
    return PixelSample(features, masks.flatten(1)[image, place].long())

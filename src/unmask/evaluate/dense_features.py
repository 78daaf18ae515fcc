"""A few pixels of every image with their frozen features and classes, for fitting a dense linear probe.

Letters: B images, N images in all, P pixels, C channels, D numbers per pixel.
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
"""Approximate number of pixels to fit, spread evenly over the images."""
_FEWEST, _MOST = 16, 1024
"""Most pixels per image."""


@dataclass(frozen=True)
class PixelSample:
    """Pixels that have a class."""

    features: Tensor
    """float32 (P, D)."""
    labels: Tensor
    """int64 (P,)."""


def pixels_each(images: int) -> int:
    """Number of pixels taken from each of this many images."""
    return int(np.clip(PIXELS // max(1, images), _FEWEST, _MOST))


def sample_pixels(masks: Tensor, ids: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Up to `count` pixels with a class from every mask, drawn at random with the key of their image.

    Args:
        masks: uint8 (B, H, W).
        ids: ids of the images, int64 (B,).
        count: pixels per image.

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
    """Features (P, D) of pixels: every map upsampled bilinearly to the image, computed only at these pixels.

    Args:
        maps: the network's maps, [B, C_s, H_s, W_s].
        image: the image, of the B images, of each pixel, (P,).
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
    """Pixels of a batch (B, C, H, W), `count` per image, with their features from a network's maps; masks are uint8
    (B, H, W), ids (B,)."""
    image, place = sample_pixels(masks, ids, count, seed)
    features = features_at(maps_of(images), image, place, (masks.shape[1], masks.shape[2]))
    return PixelSample(features, masks.flatten(1)[image, place].long())

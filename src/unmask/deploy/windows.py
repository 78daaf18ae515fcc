"""Run a network of one image size on larger images: overlapping windows, whose logits are averaged.

Letters: C channels, H x W pixels, K classes.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

AT_ONCE = 8
"""Windows per pass."""


def window_starts(length: int, window: int) -> list[int]:
    """Where windows start on an axis: evenly spaced up to the end, each overlapping the next by half or more."""
    if length <= window:
        return [0]
    count = 1 + -(-2 * (length - window) // window)
    return [round(index * (length - window) / (count - 1)) for index in range(count)]


def window_weights(size: tuple[int, int]) -> Tensor:
    """Weight of the logits of each pixel of a window, (H, W): falling linearly from its middle to its edges."""
    rows, columns = (torch.minimum(torch.arange(1, n + 1), torch.arange(n, 0, -1)).double() / n for n in size)
    return (rows[:, None] * columns[None, :]).float()


@torch.no_grad()
def windowed(network: Callable[[Tensor], Tensor], image: Tensor, window: tuple[int, int]) -> Tensor:
    """Logits (K, H, W) of an image, normalized (C, H, W), of any size, by a network (B, C, *window) → (B, K, *window).

    For an image of the window's size they are the network's, bit for bit.

    An image that is smaller along a side is padded with zeros, the mean color, which are cropped afterwards.
    """
    height, width = image.shape[1:]
    image = pad(image, (0, max(0, window[1] - width), 0, max(0, window[0] - height)))
    places = [
        (y, x) for y in window_starts(image.shape[1], window[0]) for x in window_starts(image.shape[2], window[1])
    ]
    if len(places) == 1:
        return network(image[None])[0, :, :height, :width].float().cpu()
    weight = window_weights(window)
    total: Tensor | None = None
    share = torch.zeros(image.shape[1:])
    for at in range(0, len(places), AT_ONCE):
        some = places[at : at + AT_ONCE]
        logits = network(torch.stack([image[:, y : y + window[0], x : x + window[1]] for y, x in some])).float().cpu()
        total = torch.zeros(logits.shape[1], *image.shape[1:]) if total is None else total
        for (y, x), one in zip(some, logits, strict=True):
            total[:, y : y + window[0], x : x + window[1]] += one * weight
            share[y : y + window[0], x : x + window[1]] += weight
    assert total is not None
    return (total / share)[:, :height, :width]

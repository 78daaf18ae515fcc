"""Channel statistics and value ranges, measured on the images that pretraining sees."""

import math

import numpy as np
import torch
from torch import Tensor

from unmask.data.form import TOP, Kind

SMALLEST_STD = 1e-4
"""Floor of a channel's standard deviation in 0..1 units, so that a constant channel stays finite."""
CHUNK = 1024


def value_range(values: Tensor, rows: Tensor, kind: Kind) -> tuple[float, float]:
    """The stored values that count as 0 and 1.

    Integers: the range of their type. Floats that lie within 0..1: (0, 1). Other floats: their minimum and maximum.
    """
    if kind != "float32":
        return (0.0, TOP[kind])
    low, high = (float(v) for v in torch.aminmax(values[rows]))
    if low >= 0 and high <= 1:
        return (0.0, 1.0)
    return (low, high) if high > low else (low, low + 1.0)


def channel_statistics(
    values: Tensor, rows: Tensor, scale: tuple[float, float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of every channel over all pixels of the chosen images, in 0..1 units.

    Sums of integers are exact and sums of floats in float64 image by image, so the result does not depend on threads.

    Args:
        values: stored images, (N, C, H, W).
        rows: the images that count, int64 (n,).
        scale: stored values that count as 0 and 1.
    """
    low, high = scale
    pixels = len(rows) * values.shape[2] * values.shape[3]
    means, stds = [], []
    for channel in range(values.shape[1]):
        total, square = _sums(values[:, channel], rows)
        mean = total / pixels
        variance = (
            (square - total * total / pixels) / pixels if isinstance(total, float) else _exact(total, square, pixels)
        )
        means.append((mean - low) / (high - low))
        stds.append(max(math.sqrt(max(variance, 0.0)) / (high - low), SMALLEST_STD))
    return tuple(means), tuple(stds)


def _exact(total: int, square: int, pixels: int) -> float:
    """Variance from integer sums: (pixels · square - total²) / pixels²."""
    return (pixels * square - total * total) / (pixels * pixels)


def _sums(plane: Tensor, rows: Tensor) -> tuple[int, int] | tuple[float, float]:
    """Σx and Σx² over the chosen images of one channel, (N, H, W)."""
    if plane.dtype.is_floating_point:
        x = plane[rows].numpy().astype(np.float64).reshape(len(rows), -1)
        return float(math.fsum(x.sum(1))), float(math.fsum(np.square(x).sum(1)))
    total = square = 0
    for chunk in rows.split(CHUNK):
        y = plane[chunk].to(torch.int64)
        total += int(y.sum())
        square += int(y.square().sum())
    return total, square

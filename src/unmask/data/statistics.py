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
    moments = _float_moments if values.dtype.is_floating_point else _integer_moments
    pairs = [moments(values[:, channel], rows) for channel in range(values.shape[1])]
    means = tuple((mean - low) / (high - low) for mean, _ in pairs)
    stds = tuple(max(math.sqrt(variance) / (high - low), SMALLEST_STD) for _, variance in pairs)
    return means, stds


def _integer_moments(plane: Tensor, rows: Tensor) -> tuple[float, float]:
    """Mean and variance over the chosen images of one channel, (N, H, W): (n Σx² - (Σx)²) / n², exactly."""
    total = square = 0
    for chunk in rows.split(CHUNK):
        x = plane[chunk].to(torch.int64)
        total += int(x.sum())
        square += int(x.square().sum())
    n = len(rows) * plane.shape[1] * plane.shape[2]
    return total / n, (n * square - total * total) / (n * n)


def _float_moments(plane: Tensor, rows: Tensor) -> tuple[float, float]:
    """The same for floats, in two passes."""
    n = len(rows) * plane.shape[1] * plane.shape[2]

    def total(centre: float, power: int) -> float:
        chunks = (plane[chunk].numpy().astype(np.float64).reshape(len(chunk), -1) for chunk in rows.split(CHUNK))
        return math.fsum(float(v) for x in chunks for v in ((x - centre) ** power).sum(1))

    mean = total(0.0, 1) / n
    return mean, total(mean, 2) / n

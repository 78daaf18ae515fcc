"""Channel statistics and value ranges, measured on the images that pretraining sees."""

import math

import numpy as np
import torch
from torch import Tensor

from unmask.data.decoding.image_format import TOP, Kind
from unmask.randomness import permutation

SMALLEST_STD = 1e-4
"""Floor of a channel's standard deviation in 0..1 units, so that a constant channel stays finite."""
CHUNK = 1024
SAMPLE = 2048
"""Images that percentiles, and the statistics of streamed data, are measured on."""


def sample_rows(rows: Tensor, limit: int = SAMPLE) -> Tensor:
    """At most `limit` of the rows, drawn once and for all, in increasing order."""
    return rows[torch.from_numpy(np.sort(permutation(0, "statistics", 0, len(rows))[:limit]))]


def value_range(values: Tensor, rows: Tensor, kind: Kind, window: tuple[float, float] | None) -> tuple[float, float]:
    """The stored values that count as 0 and 1.

    With a window: these percentiles of the values, whole numbers for integers. Else for integers the range of their
    type, for floats that lie within 0..1 (0, 1), and for other floats their minimum and maximum.
    """
    if window is not None:
        low, high = np.percentile(values[sample_rows(rows)].numpy(), window).tolist()
        low, high = (low, high) if kind == "float32" else (math.floor(low), math.ceil(high))
    elif kind != "float32":
        return (0.0, TOP[kind])
    else:
        low, high = (float(v) for v in torch.aminmax(values[rows]))
        if low >= 0 and high <= 1:
            return (0.0, 1.0)
    return (float(low), float(high)) if high > low else (float(low), low + 1.0)


def channel_statistics(
    values: Tensor, rows: Tensor, scale: tuple[float, float], *, clip: bool = False
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of every channel over all pixels of the chosen images, in 0..1 units.

    Sums of integers are exact and sums of floats are of float64 image by image, so threads do not change the result.

    Args:
        values: stored images, (N, C, H, W).
        rows: the images that count, int64 (n,).
        scale: stored values that count as 0 and 1.
        clip: whether values beyond count as 0 and 1, too.
    """
    low, high = scale
    moments = _float_moments if values.dtype.is_floating_point else _integer_moments
    bounds = scale if clip else (-math.inf, math.inf)
    pairs = [moments(values[:, channel], rows, bounds) for channel in range(values.shape[1])]
    means = tuple((mean - low) / (high - low) for mean, _ in pairs)
    stds = tuple(max(math.sqrt(variance) / (high - low), SMALLEST_STD) for _, variance in pairs)
    return means, stds


def _integer_moments(plane: Tensor, rows: Tensor, bounds: tuple[float, float]) -> tuple[float, float]:
    """Mean and variance over the chosen images of one channel, (N, H, W): (n Σx² - (Σx)²) / n², exactly."""
    low, high = int(max(bounds[0], 0)), int(min(bounds[1], 65535))
    total = square = 0
    for chunk in rows.split(CHUNK):
        x = plane[chunk].to(torch.int64).clamp(low, high)
        total += int(x.sum())
        square += int(x.square().sum())
    n = len(rows) * plane.shape[1] * plane.shape[2]
    return total / n, (n * square - total * total) / (n * n)


def _float_moments(plane: Tensor, rows: Tensor, bounds: tuple[float, float]) -> tuple[float, float]:
    """The same for floats, in two passes."""
    n = len(rows) * plane.shape[1] * plane.shape[2]

    def total(center: float, power: int) -> float:
        chunks = (plane[chunk].clamp(*bounds).numpy().astype(np.float64) for chunk in rows.split(CHUNK))
        return math.fsum(float(v) for x in chunks for v in ((x.reshape(len(x), -1) - center) ** power).sum(1))

    mean = total(0.0, 1) / n
    return mean, total(mean, 2) / n

"""Channel statistics and value ranges, measured on the images that pretraining sees."""

import math

import numpy as np
import torch
from torch import Tensor

from unmask.data.decoding.image_format import TOP, Kind
from unmask.randomness import permutation

SMALLEST_STD = 1e-4
"""Floor of a channel's standard deviation as a share of a range, so that a constant channel stays finite."""
ORDER = 10.0
"""Channels have separate ranges if the widest of all is so many times one of them."""
CHUNK = 1024
LOOKED_AT = 2**22
"""Values on which a suspicious range is judged."""
SAMPLE = 2048
"""Images that percentiles, and the statistics of streamed data, are measured on."""


def sample_rows(rows: Tensor, limit: int = SAMPLE) -> Tensor:
    """At most `limit` of the rows, the same draw every time, in increasing order."""
    return rows[torch.from_numpy(np.sort(permutation(0, "statistics", 0, len(rows))[:limit]))]


def value_range(values: Tensor, rows: Tensor, kind: Kind, window: tuple[float, float] | None) -> tuple[float, float]:
    """The stored values that count as 0 and 1.

    With a window: these percentiles of the values, whole numbers for integers. Else for integers the range of their
    type, for floats that lie within 0..1 (0, 1), and for other floats their minimum and maximum. Missing values (NaN)
    do not count.
    """
    if window is not None:
        low, high = np.percentile(known(values[sample_rows(rows)]).numpy(), window).tolist()
        low, high = (low, high) if kind == "float32" else (math.floor(low), math.ceil(high))
    elif kind != "float32":
        return (0.0, TOP[kind])
    else:
        low, high = (float(v) for v in torch.aminmax(known(values[rows])))
        if low >= 0 and high <= 1:
            return (0.0, 1.0)
    return (float(low), float(high)) if high > low else (float(low), low + 1.0)


def channel_ranges(
    values: Tensor, rows: Tensor, kind: Kind, window: tuple[float, float] | None, joint: tuple[float, float]
) -> tuple[tuple[float, float], ...]:
    """The value range of every channel; empty if the joint one, which `value_range` measured, suits all of them.

    It does not if a channel's own range spans less than a tenth of it: reflectance beside elevation.
    """
    if values.shape[1] == 1 or (window is None and (kind != "float32" or joint == (0.0, 1.0))):
        return ()
    planes = [values[:, i : i + 1] for i in range(values.shape[1])]
    empty = [kind == "float32" and bool(plane[rows].isnan().all()) for plane in planes]
    own = [joint if no else value_range(one, rows, kind, window) for one, no in zip(planes, empty, strict=True)]
    narrowest = min(high - low for low, high in own)
    return tuple(own) if narrowest * ORDER < joint[1] - joint[0] else ()


def value_notes(
    values: Tensor,
    rows: Tensor,
    scale: tuple[float, float],
    own: tuple[tuple[float, float], ...] = (),
    *,
    clipped: bool,
) -> tuple[str, ...]:
    """Notes on unusual values of some images: a range stretched by few values, or 16 bits of which few are used."""
    if clipped:
        return ()
    if own:
        parts = (value_notes(values[:, i : i + 1], rows, one, clipped=False) for i, one in enumerate(own))
        return tuple(f"channel {i}: {note}" for i, notes in enumerate(parts) for note in notes)
    if values.dtype.is_floating_point:
        return range_notes(values, rows, scale)
    top = int(values[sample_rows(rows)].numpy().max()) if values.dtype == torch.uint16 else 2**15
    if top >= 2**15:
        return ()
    return (
        f"16-bit values reach only {top} of 65535 ({max(1, top.bit_length())} bits in 16): `window=(0, 100)` makes the "
        "range that is used 0 to 1, `window=(0.5, 99.5)` also cuts outliers",
    )


def range_notes(values: Tensor, rows: Tensor, scale: tuple[float, float]) -> tuple[str, ...]:
    """A note on a measured range that is stretched by a few values, or by one that stands for missing pixels.

    Given if the middle 98 % of the values span under 1 % of the range, or if an end of the range is a single
    value, further from all others than these are from each other.

    Args:
        values: stored images, (N, C, H, W).
        scale: stored values that count as 0 and 1.
    """
    low, high = scale
    every = known(values[sample_rows(rows)]).flatten()
    some = every[:: 1 + len(every) // LOOKED_AT].numpy()
    if not some.size:
        return ()
    first, last = np.percentile(some, (1, 99)).tolist()
    rest = f"the middle 98 % of the values lie between {first:.4g} and {last:.4g}, the range is {low:.6g} to {high:.6g}"
    for end in (low, high):
        inner = some[some != np.float32(end)]
        if 0 < inner.size < some.size and 0 < np.ptp(inner) < np.abs(inner - np.float32(end)).min():
            share = 100 * (1 - inner.size / some.size)
            others = f"far from all others ({inner.min():.4g} to {inner.max():.4g})"
            fix = f"`nodata={end:.9g}` if it stands for missing pixels, `window=(0.5, 99.5)` for outliers"
            return (f"{share:.2g} % of the values are {end:.9g}, {others}: {fix}",)
    if last - first < 0.01 * (high - low):
        return (f"{rest}: `window=(0.5, 99.5)` cuts outliers, `nodata` names what stands for missing pixels",)
    return ()


def missing_notes(values: Tensor, rows: Tensor, nodata: float | None) -> tuple[str, ...]:
    """A note on how many images have missing pixels and how they are handled; or that none has the value for them."""
    count = 0
    if values.dtype.is_floating_point:
        missing = torch.stack([values[row].isnan().float().mean() for row in rows.tolist()])
        count = int((missing > 0).sum())
    if not count:
        return () if nodata is None else (idle_nodata(nodata),)
    share = 100 * float(missing.mean())
    return (
        f"{count} of {len(rows)} pretraining images have missing pixels (NaN, no-data or masked), {share:.2g} % "
        "of all values: they do not count in statistics and reconstruction; the encoder sees the channel's mean",
    )


def idle_nodata(nodata: float) -> str:
    """The note if no pixel is missing."""
    return f"`nodata={nodata:.9g}` has no effect: no pixel of the examined images has this value"


def known(values: Tensor) -> Tensor:
    """Values unchanged if none is missing; else those present, flat. At least one is present."""
    if not values.dtype.is_floating_point or not (missing := values.isnan()).any():
        return values
    return values[~missing]


def channel_statistics(
    values: Tensor,
    rows: Tensor,
    scale: tuple[float, float],
    own: tuple[tuple[float, float], ...] = (),
    *,
    clip: bool = False,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of every channel over all pixels of the chosen images, in 0..1 units.

    Sums of integers are exact and sums of floats are of float64 image by image, so threads do not change the result.
    Missing values (NaN) do not count.

    Args:
        values: stored images, (N, C, H, W).
        rows: the images to use, int64 (n,).
        scale: stored values that count as 0 and 1.
        own: the same per channel, if each has its own range.
        clip: whether values beyond are clipped to 0 and 1.
    """
    moments = _float_moments if values.dtype.is_floating_point else _integer_moments
    means, stds = [], []
    for channel, (low, high) in enumerate(own or [scale] * values.shape[1]):
        plane = values[:, channel]
        mean, variance = moments(plane, rows, (low, high) if clip else (-math.inf, math.inf))
        means.append((mean - low) / (high - low))
        stds.append(_floored(math.sqrt(variance) / (high - low), plane, rows, high - low))
    return tuple(means), tuple(stds)


def _floored(std: float, plane: Tensor, rows: Tensor, span: float) -> float:
    """A channel's deviation, kept from 0: at least `SMALLEST_STD` of the span of all channels, or of its own values.

    For 16 bits and floats it is the channel's own, so that a channel with values orders of magnitude smaller than
    another's (reflectance beside elevation) reaches the encoder at the same scale.
    """
    if std >= SMALLEST_STD or plane.dtype == torch.uint8:
        return max(std, SMALLEST_STD)
    there = known(plane[rows]).numpy()
    own = float(np.ptp(there)) / span if there.size else 0.0
    return max(std, SMALLEST_STD * own) if own else SMALLEST_STD


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
    """The same for floats, in two passes; 0 and 0 for a channel without any value."""
    n = max(1, sum(int((~plane[chunk].isnan()).sum()) for chunk in rows.split(CHUNK)))

    def total(center: float, power: int) -> float:
        chunks = (plane[chunk].clamp(*bounds).numpy().astype(np.float64) for chunk in rows.split(CHUNK))
        return math.fsum(float(v) for x in chunks for v in np.nansum((x.reshape(len(x), -1) - center) ** power, 1))

    mean = total(0.0, 1) / n
    return mean, total(mean, 2) / n

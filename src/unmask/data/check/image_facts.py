"""Decode every image of a source once, in parallel, and keep what a check needs to know about it."""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unmask.data.check.duplicates import thumbnail
from unmask.data.decoding.decode import decode, named, quiet
from unmask.data.decoding.file import File
from unmask.data.decoding.image_format import TOP, Kind, kind_of, white_as_255
from unmask.data.decoding.missing import require_pixels, without_nodata
from unmask.data.decoding.pixel_budget import BUDGET
from unmask.data.decoding.reading import Reading
from unmask.data.headers import Header, header_of
from unmask.data.sources.source import Source
from unmask.data.threads import mapped
from unmask.errors import UserError

PIECE = 2**20
"""Values of a channel that are converted per call."""


@dataclass(frozen=True)
class Looked:
    """Facts about a readable image."""

    header: Header
    shape: tuple[int, int, int]
    """Channels, height, width."""
    kind: Kind
    digest: bytes
    """Of shape, number type and pixels."""
    thumbnail: NDArray[np.float32]
    low: float
    high: float
    mean: tuple[float, ...]
    """Per channel, in 0..1 units of the number type (unchanged for floats)."""
    square: tuple[float, ...]
    """Per channel, mean of squares."""
    counts: tuple[int, ...]
    """Per channel, the number of values that are not missing."""


def look(source: Source, *, progress: bool) -> list[Looked | str]:
    """For each row its facts, or the message why it cannot be read."""

    def one(row: int) -> Looked | str:
        try:
            stored = source.images.stored(row)
            header = header_of(stored, source.reading)
            with BUDGET.giving_back():
                image = _read(stored, source.reading)
                with named(source.names[row]):
                    return look_at(image, header)
        except UserError as error:
            return str(error)

    bar = "checking" if progress else None
    with quiet():
        return list(mapped(one, len(source.names), threads=source.images.threads, bar=bar))


def look_at(image: NDArray[np.generic], header: Header) -> Looked:
    """Facts of one image, (C, H, W), with its header.

    Raises:
        UserError: a number type that is not supported, or values that are not finite.
    """
    kind = kind_of(require_pixels(image).dtype)
    content = hashlib.blake2b(repr((image.shape, kind)).encode(), digest_size=16)
    for plane in image:
        content.update(np.ascontiguousarray(plane).data)
    sums = [_sums(plane.reshape(-1), TOP[kind]) for plane in image]
    low, high, total, square, counts = (tuple(values) for values in zip(*sums, strict=True))
    return Looked(
        header=header,
        shape=(image.shape[0], image.shape[1], image.shape[2]),
        kind=kind,
        digest=content.digest(),
        thumbnail=thumbnail(image, TOP[kind]),
        low=min(low),
        high=max(high),
        mean=tuple(value / max(count, 1) for value, count in zip(total, counts, strict=True)),
        square=tuple(value / max(count, 1) for value, count in zip(square, counts, strict=True)),
        counts=counts,
    )


def _sums(plane: NDArray[np.generic], top: float) -> tuple[float, float, float, float, int]:
    """Minimum, maximum, sum, sum of squares and count of a channel's values in units of `top`; NaN does not count.

    A few megabytes at a time.
    """
    found = []
    for at in range(0, len(plane), PIECE):
        values = plane[at : at + PIECE].astype(np.float64) / top
        there = values[~np.isnan(values)]
        ends = (float(there.min()), float(there.max())) if len(there) else (math.inf, -math.inf)
        found.append((*ends, float(there.sum()), float(np.square(there).sum()), len(there)))
    lows, highs, totals, squares, counts = zip(*found, strict=True)
    return min(lows), max(highs), sum(totals), sum(squares), sum(counts)


def _read(stored: File | NDArray[np.generic], reading: Reading) -> NDArray[np.generic]:
    if isinstance(stored, np.ndarray):
        return np.ascontiguousarray(white_as_255(without_nodata(stored, reading.nodata)))
    return decode(stored, reading)

"""Decode every image of a source once, in parallel, and keep what a check wants to know of it."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unmask.data.check.duplicates import thumbnail
from unmask.data.decoding.decode import decode, named, quiet
from unmask.data.decoding.file import File
from unmask.data.decoding.image_format import TOP, Kind, kind_of
from unmask.data.decoding.missing import require_pixels, without_nodata
from unmask.data.decoding.reading import Reading
from unmask.data.headers import Header, header_of
from unmask.data.sources.source import Source
from unmask.data.threads import mapped
from unmask.errors import UserError


@dataclass(frozen=True)
class Looked:
    """What is known of a readable image."""

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
    """Per channel, in 0..1 units of the number type (as they are for floats)."""
    square: tuple[float, ...]
    """Per channel, mean of squares."""
    counts: tuple[int, ...]
    """Per channel, how many values are there and not missing."""


def look(source: Source, *, progress: bool) -> list[Looked | str]:
    """For each row what is known of it, or the message why it cannot be read."""

    def one(row: int) -> Looked | str:
        try:
            stored = source.images.stored(row)
            header = header_of(stored, source.reading)
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
    values = image.astype(np.float64).reshape(len(image), -1) / TOP[kind]
    counts = (~np.isnan(values)).sum(1)
    content = hashlib.blake2b(repr((image.shape, kind)).encode() + image.tobytes(), digest_size=16)
    return Looked(
        header=header,
        shape=(image.shape[0], image.shape[1], image.shape[2]),
        kind=kind,
        digest=content.digest(),
        thumbnail=thumbnail(image, TOP[kind]),
        low=float(np.nanmin(values)),
        high=float(np.nanmax(values)),
        mean=tuple((np.nansum(values, 1) / np.maximum(counts, 1)).tolist()),
        square=tuple((np.nansum(np.square(values), 1) / np.maximum(counts, 1)).tolist()),
        counts=tuple(counts.tolist()),
    )


def _read(stored: File | NDArray[np.generic], reading: Reading) -> NDArray[np.generic]:
    if isinstance(stored, np.ndarray):
        return np.ascontiguousarray(without_nodata(stored, reading.nodata))
    return decode(stored, reading)

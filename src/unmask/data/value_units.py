"""Whether stored values mean the same in all images: unsigned integers count from 0 to 1, floats as they are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from unmask.data.decoding.image_format import ImageFormat
from unmask.data.pixels import Pixels
from unmask.data.statistics import SAMPLE, sample_rows
from unmask.errors import UserError

LOOKED_AT = 256
"""Images that are examined before a network sees them."""
PIECE = 64
"""Images whose values are read per call."""
FAR = 10.0
"""A magnitude beyond which floats are not of the unit of a network whose values are from 0 to 1 ..."""
FEW = 0.01
"""... unless no more than such a share of the values exceeds it: hot pixels."""


@dataclass(frozen=True)
class Values:
    """Stored values of some images; missing ones do not count."""

    low: float
    high: float
    far: float
    """Share of values whose magnitude exceeds `FAR`."""

    @property
    def in_unit(self) -> bool:
        """Whether all lie within 0 to 1."""
        return self.low >= 0 and self.high <= 1


@dataclass(frozen=True)
class Numbers:
    """What the images of a data set store."""

    data: str
    names: Sequence[str]
    floats: NDArray[np.int64]
    """Rows of images that keep their values as floats."""
    integers: NDArray[np.int64]
    """Rows of images of unsigned integers."""

    @classmethod
    def of(cls, data: str, names: Sequence[str], floats: NDArray[np.bool_], bad: Iterable[int]) -> "Numbers":
        """Of the images that can be read; `floats` is one truth value per image."""
        good = np.ones(len(names), bool)
        good[list(bad)] = False
        return cls(data, names, np.flatnonzero(good & floats), np.flatnonzero(good & ~floats))


def require_one_unit(numbers: Numbers, pixels: Pixels) -> None:
    """Raise `UserError` if the same value would mean something else in some images than in others.

    Of the format of `pixels` only size, channels and number type matter.
    """
    if len(numbers.floats) and len(numbers.integers):
        found = _values(pixels, numbers.floats, SAMPLE)
        if not found.in_unit:
            integers, floats = (numbers.names[rows[0]] for rows in (numbers.integers, numbers.floats))
            raise UserError(f"{numbers.data}: {mixed(integers, floats, found.low, found.high)}")


def require_unit_of(format: ImageFormat, numbers: Numbers, pixels: Pixels) -> None:
    """Raise `UserError` if the same value would mean something else in these images than in those of a network.

    Args:
        format: that of the network.
        numbers: of the images.
        pixels: see `require_one_unit`.
    """
    if not format.counts_to_one:
        _require_no_integers(format, numbers)
    elif len(numbers.floats):
        found = _values(pixels, numbers.floats, LOOKED_AT)
        there = f"{numbers.data}: pixel values from {found.low:g} to {found.high:g}, but the run was trained on "
        if format.kind != "float32" and not found.in_unit:
            raise UserError(f"{there}{format.kind} images: give {format.kind}, or floats from 0 to 1")
        if found.far > FEW:
            raise UserError(f"{there}values from 0 to 1: give floats from 0 to 1, or the run's own number type")


def _require_no_integers(format: ImageFormat, numbers: Numbers) -> None:
    if len(numbers.integers):
        low, high = format.value_range
        raise UserError(
            f"{numbers.data}: {numbers.names[numbers.integers[0]]} holds unsigned integers, but the run was trained on "
            f"floats or signed integers from {low:g} to {high:g}: store the images in that number type and unit"
        )


def mixed(integers: str, floats: str, low: float, high: float) -> str:
    """What is wrong with a data set that holds an image of integers and floats of another range."""
    return (
        f"{floats} holds floats or signed integers (all such images: from {low:g} to {high:g}), {integers} unsigned "
        "integers, which count from 0 to 1 beside floats: store all images in one number type, or floats from 0 to 1"
    )


def _values(pixels: Pixels, rows: NDArray[np.int64], limit: int) -> Values:
    """The values of images as stored, of at most so many."""
    own = pixels.format
    plain = replace(pixels, format=ImageFormat.plain(own.size, own.channels, own.kind))
    low, high, far, count = np.inf, -np.inf, 0, 0
    for piece in sample_rows(torch.from_numpy(rows), limit).split(PIECE):
        values, _ = plain.read(piece)
        there = values[~values.isnan()]
        if len(there):
            low, high = min(low, float(there.min())), max(high, float(there.max()))
            far, count = far + int((there.abs() > FAR).sum()), count + len(there)
    return Values(low, high, far / count) if count else Values(0.0, 0.0, 0.0)

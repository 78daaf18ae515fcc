"""Values that change over a training, with their shares of its steps, as in "64:0.7,96:0.3"."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Generic, TypeVar

from unmask.errors import UserError

T = TypeVar("T")


@dataclass(frozen=True)
class Schedule(Generic[T]):
    """A sequence of values."""

    values: tuple[T, ...]
    ends: tuple[float, ...]
    """The share of the steps after which each ends; the last one is 1."""

    @classmethod
    def constant(cls, value: T) -> "Schedule[T]":
        """A schedule of one value."""
        return cls((value,), (1.0,))

    @property
    def varies(self) -> bool:
        """Whether there is more than one value."""
        return len(self.values) > 1

    @property
    def last(self) -> T:
        """The value with which a training ends."""
        return self.values[-1]

    def at(self, step: int, total: int) -> T:
        """The value at the step after `step` others of `total`."""
        reached = (value for value, end in zip(self.values, self.ends, strict=True) if step < round(end * total))
        return next(reached, self.last)

    def mean(self, of: Callable[[T], float]) -> float:
        """The mean over the steps of a function of the value."""
        return sum(of(self.during(begin)) * length for begin, length in parts(self))

    def during(self, share: float) -> T:
        """The value in the part of the training that begins after this share."""
        return next(value for value, end in zip(self.values, self.ends, strict=True) if share < end)


def parse_schedule(field: str, text: str, read: Callable[[str], T]) -> Schedule[T]:
    """Parse a schedule from VALUE:SHARE,VALUE:SHARE,...

    Args:
        text: values and shares of the steps, which sum to 1.
        read: converts a word to a value; raises ValueError for any other word.

    Raises:
        UserError: the text has another form.
    """
    try:
        pairs = [(read(value), float(share)) for value, _, share in (part.partition(":") for part in text.split(","))]
    except ValueError:
        pairs = []
    shares = [share for _, share in pairs]
    if not pairs or not all(0 < share <= 1 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise UserError(
            f"{field} = {text!r} is out of range: expected VALUE:SHARE,VALUE:SHARE with shares of the steps that sum "
            "to 1"
        )
    ends = [sum(shares[: count + 1]) for count in range(len(shares) - 1)]
    return Schedule(tuple(value for value, _ in pairs), (*ends, 1.0))


def read_size(word: str) -> tuple[int, int]:
    """Height and width from 64 or 48x64."""
    sides = [int(side) for side in word.split("x")]
    if len(sides) > 2 or min(sides) < 1:
        raise ValueError(word)
    return sides[0], sides[-1]


def parts(*schedules: Schedule[Any]) -> list[tuple[float, float]]:
    """(begin, length), as shares of the training, of the parts in which none of the schedules changes."""
    ends = sorted({0.0, *(end for schedule in schedules for end in schedule.ends)})
    return [(begin, end - begin) for begin, end in pairwise(ends)]

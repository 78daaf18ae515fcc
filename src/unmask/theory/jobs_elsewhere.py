"""Jobs on remote workers, which share nothing with this process."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from unmask.errors import UserError, is_out_of_memory
from unmask.theory.jobs import Tally

T = TypeVar("T")
Piece = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function and its arguments except the last one, which is None."""
Elsewhere = Callable[[Sequence[Piece]], Iterator[tuple[int, Any]]]
"""Runs each piece as function(*arguments, None), with one thread; yields index and result of each as it ends."""


class LostPieceError(Exception):
    """A piece was not done: this says nothing about its result."""


@dataclass(frozen=True)
class _Raised:
    """The exception that a job raised."""

    error: Exception


class JobsElsewhere:
    """Jobs that wait until the result of one of them is needed, and are then handed out."""

    def __init__(self, run: Elsewhere, tally: Tally) -> None:
        """`tally` counts their work."""
        self._run, self._tally = run, tally
        self._waiting, self._sizes = dict[int, Piece](), list[int]()
        self._found: dict[int, Any] = {}

    def begin(
        self, function: Callable[..., T], given: Sequence[tuple[Any, ...]], size: int = 1
    ) -> Callable[[], list[T]]:
        """See `Jobs.begin`. An exception raised by a job counts as its result, as it does locally; a lost job does not.

        The function and its arguments are pickled. The returned callable may also raise `LostPieceError`.
        """
        first = len(self._sizes)
        mine = range(first, first + len(given))
        name = function.__name__.strip("_")
        for number, arguments in enumerate(given, start=1):
            called = f"{name} {number}" if len(given) > 1 else name
            self._waiting[first + number - 1] = _attempt, (called, function, arguments)
        self._sizes += [size] * len(given)
        return lambda: self._results(mine)

    def _results(self, mine: Sequence[int]) -> list[Any]:
        if any(index in self._waiting for index in mine):
            self._hand_out()
        found = [self._found.pop(index) for index in mine]
        for one in found:
            if isinstance(one, _Raised):
                raise one.error
        return found

    def _hand_out(self) -> None:
        indices, pieces = list(self._waiting), list(self._waiting.values())
        self._waiting.clear()
        try:
            for position, result in self._run(pieces):
                self._found[indices[position]] = result
                self._tally.add(self._sizes[indices[position]])
        except UserError as error:
            raise LostPieceError(str(error)) from None


def _attempt(name: str, function: Callable[..., Any], arguments: tuple[Any, ...], data: None) -> Any:
    """The result of a job in a separate process; `name` is its name in messages."""
    try:
        return function(*arguments)
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        return _Raised(error)

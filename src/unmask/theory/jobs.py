"""Independent jobs on worker threads: counted as they finish, and no longer started once the caller is interrupted."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import Any, Protocol, TypeVar

import torch

T = TypeVar("T")
Told = Callable[[int, int], None]
"""Called with (work done, work in all) before the first job and after every one."""


def silent(done: int, total: int) -> None:
    """Ignore progress."""


class Tally:
    """How much of the work of several pools is done; jobs count by their size in the caller's units."""

    def __init__(self, total: int, told: Told = silent) -> None:
        self.total, self.told, self.done, self._lock = total, told, 0, Lock()
        told(0, total)

    def counted(self, function: Callable[..., T], size: int = 1) -> Callable[..., T]:
        """The function, counted as `size` units of work each time it returns."""

        def job(*given: object) -> T:
            result = function(*given)
            self.add(size)
            return result

        return job

    def add(self, size: int) -> None:
        """Record so many finished units of work."""
        with self._lock:
            self.done += size
            self.told(self.done, self.total)


class Memo:
    """Results that several jobs of one thread need, each computed once."""

    def __init__(self) -> None:
        self._found: dict[Hashable, Any] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value computed for the key, else make() now."""
        if key not in self._found:
            self._found[key] = make()
        result: T = self._found[key]
        return result


@contextmanager
def threads(number: int) -> Iterator[ThreadPoolExecutor]:
    """A pool whose waiting jobs are dropped if the body is left by an exception, including Ctrl-C and SIGTERM."""
    pool = ThreadPoolExecutor(number)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


@contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """Set torch's threads within one operation, only in the body."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Jobs(Protocol):
    """Runs jobs that share only read-only data."""

    def begin(
        self, function: Callable[..., T], given: Sequence[tuple[Any, ...]], size: int = 1
    ) -> Callable[[], list[T]]:
        """Submit function for every tuple of arguments, each of `size` units of work; the returned callable waits for
        the results, in order, and raises what the first failing one raised."""
        ...


class JobsHere:
    """Jobs on threads of this process; without a pool they are computed on submission."""

    def __init__(self, pool: ThreadPoolExecutor | None = None, tally: Tally | None = None) -> None:
        """`tally` counts their work."""
        self._pool, self._tally = pool, tally or Tally(0)

    def begin(
        self, function: Callable[..., T], given: Sequence[tuple[Any, ...]], size: int = 1
    ) -> Callable[[], list[T]]:
        """See `Jobs.begin`."""
        counted = self._tally.counted(function, size)
        if self._pool is None:
            found = [counted(*arguments) for arguments in given]
            return lambda: found
        waiting = [self._pool.submit(counted, *arguments) for arguments in given]
        return lambda: [job.result() for job in waiting]

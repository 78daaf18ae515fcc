"""Independent jobs on worker threads: counted as they finish, and not begun any more once the caller is interrupted."""

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
    """How much of the work of several pools is done; a job counts as much as it takes, in units of its caller."""

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
        """So many units of work are done."""
        with self._lock:
            self.done += size
            self.told(self.done, self.total)


class Memo:
    """Results that several jobs of one thread need, each computed once."""

    def __init__(self) -> None:
        self._found: dict[Hashable, Any] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """What was made for the key, else make() now."""
        if key not in self._found:
            self._found[key] = make()
        result: T = self._found[key]
        return result


@contextmanager
def threads(number: int) -> Iterator[ThreadPoolExecutor]:
    """A pool whose waiting jobs are dropped when the body is left by an exception, Ctrl-C and SIGTERM among them."""
    pool = ThreadPoolExecutor(number)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


@contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """Torch's threads within one operation, in the body only."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Jobs(Protocol):
    """Where jobs run that share nothing but read-only data."""

    def begin(
        self, function: Callable[..., T], given: Sequence[tuple[Any, ...]], size: int = 1
    ) -> Callable[[], list[T]]:
        """Submit function of every tuple of arguments, each of `size` units of work; what is returned waits for the
        results, in order, and raises what the first failing one raised."""
        ...


class JobsHere:
    """Jobs on threads of this process; without a pool they are computed when they are submitted."""

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

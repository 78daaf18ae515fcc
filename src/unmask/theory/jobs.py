"""Independent jobs on worker threads: counted as they finish, and not begun any more once the caller is interrupted."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

import torch

from unmask.theory.problem import World

T = TypeVar("T")
Told = Callable[[int, int], None]
"""Called with (jobs done, jobs in all) before the first job and after every one."""


def silent(done: int, total: int) -> None:
    """Ignore progress."""


class Tally:
    """How many of the jobs of several pools are done."""

    def __init__(self, total: int, told: Told = silent) -> None:
        self.total, self.told, self.done, self._lock = total, told, 0, Lock()
        told(0, total)

    def counted(self, function: Callable[..., T]) -> Callable[..., T]:
        """The function, counted as a job each time it returns."""

        def job(*given: object) -> T:
            result = function(*given)
            with self._lock:
                self.done += 1
                self.told(self.done, self.total)
            return result

        return job


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


def parallel(function: Callable[[World], T], worlds: Sequence[World], workers: int) -> list[T]:
    """function of every world, in order; threads share nothing but read-only data."""
    with threads(workers) as pool:
        return list(pool.map(function, worlds))

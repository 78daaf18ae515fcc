"""A function of every row of a data set, in threads, with few rows in flight at a time."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

THREADS = 8
"""Threads that read and decode. PIL frees the interpreter's lock while it decodes."""
IN_FLIGHT = 4096
"""Rows handed to the threads at once: a pending call takes about 2 kB, so not all of a million."""

Result = TypeVar("Result")


def mapped(
    function: Callable[[int], Result], count: int, *, threads: int = THREADS, bar: str | None = None
) -> Iterator[Result]:
    """`function(0)`, ..., `function(count - 1)` in this order, under a progress bar of this name, if any."""
    with (
        ThreadPoolExecutor(threads) as pool,
        tqdm(total=count, desc=bar, unit="image", disable=bar is None) as shown,
    ):
        for start in range(0, count, IN_FLIGHT):
            for result in pool.map(function, range(start, min(start + IN_FLIGHT, count))):
                shown.update()
                yield result

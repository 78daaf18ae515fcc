"""Call a function of every row of a data set in threads, with few rows in flight."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

from unmask.data.decoding.decode import quiet
from unmask.errors import UserError

THREADS = 8
"""Threads that read and decode. PIL releases the interpreter's lock while it decodes."""
IN_FLIGHT = 4096
"""Rows in flight, of which a part or a result may be kept: not all of a million."""
BLOCK = 32
"""Most rows per call: handing over a call takes as long as reading a small file."""

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
            rows = range(start, min(start + IN_FLIGHT, count))
            size = min(BLOCK, max(1, len(rows) // (4 * threads)))
            parts = [rows[at : at + size] for at in range(0, len(rows), size)]
            for results in pool.map(lambda part: [function(row) for row in part], parts):
                shown.update(len(results))
                yield from results


def failures(
    function: Callable[[int], object], count: int, *, threads: int = THREADS, bar: str | None = None
) -> dict[int, str]:
    """Call a function of every row, with decoders silenced; the message for each row for which it raised UserError."""
    found: dict[int, str] = {}

    def tried(row: int) -> None:
        try:
            function(row)
        except UserError as error:
            found[row] = str(error)

    with quiet():
        for _ in mapped(tried, count, threads=threads, bar=bar):
            pass
    return dict(sorted(found.items()))

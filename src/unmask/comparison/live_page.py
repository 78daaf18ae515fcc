"""`unmask compare --watch`: the report of a comparison that is running, written anew as it gets on."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from unmask.data.file_names import one_line
from unmask.errors import UserError
from unmask.report.html import Live
from unmask.report.page import write_live_report, write_report
from unmask.runs.layout import REPORT_FILE

PACE = 20.0
"""Seconds between two pages, at least."""
COST = 20.0
"""The same, as a multiple of how long the last page took: writing pages takes at most a twentieth of a core."""


class LivePage:
    """The page. A page that cannot be written is reported once, and never ends a comparison."""

    def __init__(self, out: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Of a comparison's folder; `clock` gives seconds."""
        self._out, self._clock = out, clock
        self._shown, self._failed = "", False
        self._next, self._wait = clock(), PACE

    def show(self, line: str) -> None:
        """Write the page with this line of progress, if it is another one than before and the last page is old."""
        began = self._clock()
        if line == self._shown or began < self._next:
            return
        self._shown = line
        try:
            write_live_report(self._out, Live(line, time.strftime("%H:%M:%S"), round(self._wait)))
        except (UserError, OSError) as error:
            if not self._failed:
                print(f"note: {self._out / REPORT_FILE} was not renewed: {one_line(error)}", file=sys.stderr)
            self._failed = True
        ended = self._clock()
        self._wait = max(PACE, COST * (ended - began))
        self._next = ended + self._wait


@contextmanager
def live_page(out: Path, *, wanted: bool) -> Iterator[Callable[[str], None] | None]:
    """While the body runs, a function that is told every line of progress; None where no page is `wanted`.

    Where the body fails the page says what there is, and no longer reloads itself. At its end the caller writes it.
    """
    if not wanted:
        yield None
        return
    try:
        yield LivePage(out).show
    except BaseException:
        with suppress(UserError, OSError):
            write_report([out])
        raise

"""`unmask compare --watch`: the report of a running comparison, rewritten as it progresses."""

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
"""Least number of seconds between two pages."""
COST = 20.0
"""The same as a multiple of the time for the last page: writing pages takes at most a twentieth of a core."""


class LivePage:
    """The page. If it cannot be written, this is reported once and never ends a comparison."""

    def __init__(self, out: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """For a comparison's folder; `clock` gives seconds."""
        self._out, self._clock = out, clock
        self._shown, self._failed = "", False
        self._next, self._wait = clock(), PACE

    def show(self, line: str) -> None:
        """Write the page with this progress line, if the line has changed and the last page is old enough."""
        began = self._clock()
        if line == self._shown or began < self._next:
            return
        self._shown = line
        try:
            write_live_report(self._out, Live(line, time.strftime("%H:%M:%S"), round(self._wait)))
        except (UserError, OSError) as error:
            if not self._failed:
                print(f"note: {self._out / REPORT_FILE} was not updated: {one_line(error)}", file=sys.stderr)
            self._failed = True
        ended = self._clock()
        self._wait = max(PACE, COST * (ended - began))
        self._next = ended + self._wait


@contextmanager
def live_page(out: Path, *, wanted: bool) -> Iterator[Callable[[str], None] | None]:
    """While the body runs, a function to call with every progress line; None if no page is `wanted`.

    If the body fails, the page shows the results so far and no longer reloads. Otherwise the caller writes the last
    page.
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

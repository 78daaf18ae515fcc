"""One line for a whole comparison: the current work, the overall progress, and the time left."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TextIO

from tqdm import tqdm

from unmask.comparison.forecast import Ahead, seconds_of
from unmask.comparison.pieces import Task, phase_of
from unmask.comparison.tasks import Work
from unmask.profiling.step_times import StepTimes
from unmask.wording import in_words, printable

Clock = Callable[[], float]

RELATIVE = StepTimes(pretraining=1.0, training=1.0, head=0.3, inference=0.3, probe=0.3, audited=0.2)
"""How long the parts of trainings take relative to each other, if nothing was measured."""
_PRIOR = 0.1
"""Share of the work after which measured durations count as much as the forecast."""
_SPARSE = 0.1
"""Without a terminal: a line whenever this share more is done."""
_REFRESH = 0.5
"""Seconds between two updates of the line on a terminal."""


class Progress:
    """The line. Remaining work is weighted by its forecast seconds, corrected by measured durations."""

    def __init__(
        self,
        work: Work,
        jobs: int,
        times: StepTimes | None,
        *,
        show: bool,
        listen: Callable[[str], None] | None = None,
        stream: TextIO | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        """Start counting.

        Args:
            jobs: trainings at a time.
            times: measured; without them the time left is unknown until something is finished.
            listen: called with the line whenever it has changed, shown or not.
            stream: output, standard error by default. A terminal sees the line change, anything else gets few lines.
            clock: returns seconds.
        """
        self._data, self._times, self._clock, self._show = work.data, times or RELATIVE, clock, show
        self._listen, self._stream = listen, stream or sys.stderr
        self._lively = show and self._stream.isatty()
        self._ahead = ahead = Ahead.of(work)
        parts = {"pretraining": ahead.pretrainings, "tuning": ahead.tuning, "trials": ahead.trials}
        self._weights = {name: sum(map(self.seconds, tasks)) for name, tasks in parts.items()}
        self._weights["audit"] = ahead.audit_seconds(self._times)
        total = sum(self._weights.values())
        self._rate = ahead.seconds(times, work.data, jobs) / total if times is not None and total else None
        self._forecast = total
        self._done: dict[str, float] = {}
        self._phase, self._state, self._count = "", "", 0
        self._on = f" on {jobs} workers" if jobs > 1 else ""
        self._before = self._now = 0.0
        self._since = self._told = clock()
        self._shown, self._noted = 0.0, set[str]()
        self._line = tqdm(total=None, bar_format="{desc}", file=self._stream, disable=not self._lively)

    def begin(self, phase: str, tasks: Sequence[Task], *, final: bool = True) -> None:
        """Start a phase, or continue it, with its actual tasks; `final`: no others of the phase follow."""
        self._enter(phase, len(tasks), sum(map(self.seconds, tasks)), final=final)
        self._move(tasks)

    def begin_audit(self, networks: int) -> None:
        """Start the audit of this many networks."""
        weight = replace(self._ahead, audited=networks).audit_seconds(self._times)
        self._enter("audit", networks, weight, final=True)

    def _enter(self, phase: str, count: int, weight: float, *, final: bool) -> None:
        self._phase, self._count = phase, count
        self._before, self._now = self._done.get(phase, 0.0), weight
        known = self._before + self._now
        self._weights[phase] = known if final else max(known, self._weights.get(phase, 0.0))
        self.finished(0)

    def join(self, tasks: Sequence[Task]) -> None:
        """Add tasks to the phase."""
        self._count += len(tasks)
        self._now += sum(map(self.seconds, tasks))
        self._weights[self._phase] = max(self._before + self._now, self._weights[self._phase])
        self._move(tasks)

    def _move(self, tasks: Sequence[Task]) -> None:
        """Take tasks that run in this phase out of the one where they were expected."""
        for task in tasks:
            phase = phase_of(task)
            if phase is not None and phase != self._phase:
                self._weights[phase] = max(self._done.get(phase, 0.0), self._weights[phase] - self.seconds(task))

    def finished(self, number: float, seconds: float | None = None) -> None:
        """Record finished tasks of the phase; a fraction of one counts too.

        Args:
            seconds: what they take by `self.seconds`; by default all tasks of the phase count as equally long.
        """
        if not self._count:
            return
        done = self._now * number / self._count if seconds is None else min(seconds, self._now)
        self._done[self._phase] = self._before + done
        self._state = f"{self._phase} {int(number)} of {self._count}{self._on}"
        self._tell()

    def note(self, notes: Sequence[str]) -> None:
        """Print the new ones of the notes above the line."""
        for note in notes if self._show else ():
            if note not in self._noted:
                tqdm.write(printable(f"note: {note}"), file=self._stream)
                self._noted.add(note)

    def close(self) -> None:
        """Leave the last state of the line where it is."""
        self._line.close()

    @property
    def share(self) -> float:
        """Share of all work that is done, 0 to 1."""
        total = sum(self._weights.values())
        return sum(self._done.values()) / total if total else 1.0

    def seconds_left(self) -> float | None:
        """For the whole comparison; None if nothing is known yet."""
        done, left = sum(self._done.values()), sum(self._weights.values()) - sum(self._done.values())
        elapsed = self._clock() - self._since
        if self._rate is None:
            return left * elapsed / done if done else None
        prior = _PRIOR * self._forecast
        return left * (self._rate * prior + elapsed) / (prior + done)

    def seconds(self, task: Task) -> float:
        """How long a task takes on its own: measured, or relative to others."""
        return seconds_of(task, self._times, self._data)

    def _tell(self) -> None:
        """Update the line, or print one, if it is time."""
        now = self._clock()
        if self._listen is not None:
            self._listen(self._text())
        if self._lively and (now - self._told >= _REFRESH or self.share == 1):
            self._told = now
            self._line.set_description_str(self._text())
        elif self._show and not self._lively and self.share - self._shown >= _SPARSE:
            self._shown = self.share
            print(self._text(), file=self._stream, flush=True)

    def _text(self) -> str:
        left = self.seconds_left()
        return f"{self.share:.0%}: {self._state}" + (f", {in_words(left)} left" if left else "")

"""How many label draws fit into the time, by the clock and the durations of finished trainings."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from unmask.comparison.plan import all_trials
from unmask.comparison.tasks import Work
from unmask.config import CompareConfig
from unmask.config.budget import Budget
from unmask.runs.layout import TRIALS
from unmask.runs.trial_records import TrialResult, TuningResult
from unmask.runs.trials import read_trials, read_tunings

HOUR = 3600.0
"""Approximate seconds of a comparison without a given number of label draws."""
LEAST = 5
"""Least number of its label draws, however long they take."""
RESERVE = 0.95
"""Share of the time for trainings; the rest is for the page."""
CAUTION = 1.3
"""Factor on the estimated seconds of trainings, before anything was measured."""


@dataclass
class Timer:
    """How much of the given time is left, and how long draws will take."""

    seconds: float
    clock: Callable[[], float]
    started: float
    slowness: float = field(default=CAUTION)
    """Wall-clock seconds per second of training divided by the jobs, as measured in the last look."""

    def fits(self, expected: float) -> bool:
        """Whether trainings of this many seconds, divided by the jobs, will finish in time."""
        return self.clock() - self.started + self.slowness * expected <= RESERVE * self.seconds

    def learn(self, expected: float, passed: float) -> None:
        """Update from how long a look really took."""
        if expected > 0:
            self.slowness = max(0.5, 1.1 * passed / expected)


def train_for_an_hour(
    work: Work, needed: tuple[str, ...], run: Callable[[Work], None], jobs: int, timer: Timer
) -> Work:
    """Train the needed arms on as many of the planned label draws as fit into the time (`HOUR` seconds), and at least
    `LEAST`.

    Only the clock ends them, whatever the draws say, so intervals and verdicts are those of a fixed design with the
    same number of draws. There is time for all arms of the work on these draws.

    Returns:
        The work on the draws that are trained.
    """
    planned, done = work.config.planned_draws, 0
    least = min(LEAST, planned)
    while done < planned:
        known = _mean_seconds(work)
        timed = all((key.arm, key.budget) in known for key in all_trials(work.config))
        fitting = fitting_draws(work, done, planned, jobs, timer) if timed else None
        if fitting is None and done >= least:
            break
        ahead = replace(work, config=replace(work.config, arms=needed, draws=max(fitting or least, least)))
        learning(run, jobs, timer)(ahead)
        done = ahead.config.planned_draws
    return replace(work, config=replace(work.config, draws=done))


def learning(run: Callable[[Work], None], jobs: int, timer: Timer) -> Callable[[Work], None]:
    """The same, but the timer learns from how long it took."""

    def timed(work: Work) -> None:
        expected, before = expected_seconds(work, jobs), timer.clock()
        run(work)
        timer.learn(expected, timer.clock() - before)

    return timed


def hour_notes(asked: CompareConfig, trained: CompareConfig) -> list[str]:
    """A note if the hour had no time for all planned label draws."""
    if not asked.in_an_hour or trained.planned_draws >= asked.planned_draws:
        return []
    return [
        f"the first hour had time for {trained.planned_draws} of {asked.planned_draws} label draws; give "
        f"`resume=True` to continue, or set the number with `draws`"
    ]


def fitting_draws(work: Work, done: int, wanted: int, jobs: int, timer: Timer | None) -> int | None:
    """The draws of the next look: as many as wanted, or those that fit into the time; None if none fits."""
    for count in range(wanted, max(done, 1), -1):
        ahead = replace(work, config=replace(work.config, draws=count))
        if timer is None or timer.fits(expected_seconds(ahead, jobs)):
            return count
    return None


def expected_seconds(work: Work, jobs: int) -> float:
    """Seconds of training, divided by the jobs, of the unfinished trials, from finished ones of the same arm."""
    known = _mean_seconds(work)
    ahead = [key for key in all_trials(work.config) if not TRIALS.path(work.out, key.name).exists()]
    each = [known.get((key.arm, key.budget), 0.0) for key in ahead]
    return max(sum(each) / jobs, math.ceil(len(each) / jobs) * (sum(each) / len(each))) if each else 0.0


def _mean_seconds(work: Work) -> dict[tuple[str, Budget], float]:
    """Seconds of a finished training, by arm and budget."""
    known: dict[tuple[str, Budget], list[float]] = {}
    finished: list[TuningResult | TrialResult] = [*read_tunings(work.out), *read_trials(work.out).values()]
    for one in finished:
        known.setdefault((one.arm, one.budget), []).append(one.seconds)
    return {place: sum(seconds) / len(seconds) for place, seconds in known.items()}

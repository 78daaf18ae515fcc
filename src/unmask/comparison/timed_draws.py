"""How many label draws there is time for: by the clock, and by how long finished trainings took."""

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
"""Seconds that a comparison takes, about, where nobody says how many label draws it has."""
LEAST = 5
"""Label draws that it has then, however long they take."""
RESERVE = 0.95
"""Share of the time that trainings may take; the rest is for the page."""
CAUTION = 1.3
"""How much longer trainings may take than their own seconds say, before anything was measured."""


@dataclass
class Timer:
    """How much of the time that was given is left, and how long draws will take."""

    seconds: float
    clock: Callable[[], float]
    started: float
    slowness: float = field(default=CAUTION)
    """Seconds that pass for a second of training divided by the jobs, as measured in the last look."""

    def fits(self, expected: float) -> bool:
        """Whether trainings of so many seconds, divided by the jobs, will be over in time."""
        return self.clock() - self.started + self.slowness * expected <= RESERVE * self.seconds

    def learn(self, expected: float, passed: float) -> None:
        """Take over how long a look really took."""
        if expected > 0:
            self.slowness = max(0.5, 1.1 * passed / expected)


def train_for_an_hour(work: Work, run: Callable[[Work], None], jobs: int, timer: Timer) -> Work:
    """Train the planned label draws, as far as there is time (of `HOUR` seconds) for them, and at least `LEAST`.

    The clock alone ends them, whatever the draws say, so that intervals and verdicts are those of a fixed design with
    as many draws.

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
        ahead = replace(work, config=replace(work.config, draws=max(fitting or least, least)))
        expected, before = expected_seconds(ahead, jobs), timer.clock()
        run(ahead)
        timer.learn(expected, timer.clock() - before)
        done = ahead.config.planned_draws
    return replace(work, config=replace(work.config, draws=done))


def hour_notes(asked: CompareConfig, trained: CompareConfig) -> list[str]:
    """A note where the hour had no time for all label draws that a comparison would have had."""
    if not asked.in_an_hour or trained.planned_draws >= asked.planned_draws:
        return []
    return [
        f"{trained.planned_draws} of {asked.planned_draws} label draws: the first hour had no time for more; give "
        f"`resume=True` to go on, or say how many with `draws`"
    ]


def fitting_draws(work: Work, done: int, wanted: int, jobs: int, timer: Timer | None) -> int | None:
    """The draws of the next look: as many as wanted, or those that there is time for; None where there is for none."""
    for count in range(wanted, max(done, 1), -1):
        ahead = replace(work, config=replace(work.config, draws=count))
        if timer is None or timer.fits(expected_seconds(ahead, jobs)):
            return count
    return None


def expected_seconds(work: Work, jobs: int) -> float:
    """Seconds of training, divided by the jobs, of the trials that are not done, by those of the same arm that are."""
    known = _mean_seconds(work)
    ahead = [key for key in all_trials(work.config) if not TRIALS.path(work.out, key.name).exists()]
    each = [known.get((key.arm, key.budget), 0.0) for key in ahead]
    return max(sum(each) / jobs, math.ceil(len(each) / jobs) * (sum(each) / len(each))) if each else 0.0


def _mean_seconds(work: Work) -> dict[tuple[str, Budget], float]:
    """Of a finished training, by arm and budget."""
    known: dict[tuple[str, Budget], list[float]] = {}
    finished: list[TuningResult | TrialResult] = [*read_tunings(work.out), *read_trials(work.out).values()]
    for one in finished:
        known.setdefault((one.arm, one.budget), []).append(one.seconds)
    return {place: sum(seconds) / len(seconds) for place, seconds in known.items()}

"""Label draws that come in looks: trained and judged until it is decided, out of reach, or the time is up."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from unmask.comparison.forecast import forecast
from unmask.comparison.plan import all_trials
from unmask.comparison.table import read_contest
from unmask.comparison.tasks import Work
from unmask.comparison.tuning import Choice
from unmask.config import CompareConfig
from unmask.config.budget import Budget
from unmask.errors import UserError
from unmask.inference.looks import look, look_draws, look_levels
from unmask.profiling.step_times import StepTimes
from unmask.runs.files import write_json
from unmask.runs.layout import LOOKS_FILE, TRIALS, TUNING
from unmask.runs.read import read_optional, read_record
from unmask.runs.summary_records import LookRow, LookRows
from unmask.runs.trial_records import TrialResult, TuningResult
from unmask.wording import in_words

FIRST = 4
"""Draws before the first look."""
FACTOR = 4
"""Looks go on up to so many times the draws of the fixed design."""
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


def in_looks(config: CompareConfig) -> bool:
    """Whether draws come in looks, or all at once."""
    return config.until == "decided" or config.seconds_within is not None


def refuse_too_little_time(work: Work, jobs: int, times: StepTimes) -> None:
    """Raise UserError where not even the first look would come in time."""
    within = work.config.seconds_within
    first = replace(work, config=replace(work.config, draws=FIRST))
    if within is not None and (needed := forecast(first, jobs, times).seconds) > within:
        raise UserError(
            f"within = {work.config.within}: pretraining, tuning and the first {FIRST} label draws take "
            f"{in_words(needed)}: give more time, or fewer `budgets`"
        )


def take_looks(
    work: Work, choice: Choice, run: Callable[[Work], None], jobs: int, timer: Timer | None
) -> tuple[Work, tuple[LookRow, ...]]:
    """Train draws look by look; returns the work with the draws that were trained, and the looks.

    Earlier looks of the same folder count: a resumed comparison goes on after them, unless they have decided.

    Args:
        work: with the arms that are reported.
        choice: what the tuning draws have decided.
        run: trains what a work has still to do.
        jobs: trainings at once.
        timer: None where time does not matter.

    Raises:
        UserError: there is no time for a single look.
    """
    config, out = work.config, work.out
    rows = _earlier(work)
    most = max(FACTOR * config.draws, rows[-1].plan if rows else 0)
    while not rows or (rows[-1].word not in ("gain", "loss", "equivalent") and rows[-1].draws < most):
        done = rows[-1].draws if rows else 0
        wanted = next((draws for draws in look_draws(FIRST, most) if draws > done), most)
        count = _fitting(work, done, wanted, jobs, timer)
        if count is None:
            break
        ahead = replace(work, config=replace(config, draws=count))
        expected, before = _expected(ahead, jobs), 0.0 if timer is None else timer.clock()
        run(ahead)
        if timer is not None and count > done:
            timer.learn(expected, timer.clock() - before)
        rows.append(_look(ahead, choice, rows, most))
        write_json(out / LOOKS_FILE, LookRows(looks=tuple(rows)))
        if rows[-1].word == "out of reach":
            break
    if not rows:
        raise UserError(
            f"within = {config.within}: it is over before the first look; what is finished is kept, go on with "
            "`resume=True` and more time"
        )
    return replace(work, config=replace(config, draws=rows[-1].draws)), tuple(rows)


def _earlier(work: Work) -> list[LookRow]:
    found = read_optional(LookRows, work.out / LOOKS_FILE)
    return [] if found is None else list(found.looks)


def _look(work: Work, choice: Choice, rows: Sequence[LookRow], most: int) -> LookRow:
    """What the draws of `work` say, at the level that is left for them."""
    config = work.config
    plans = sorted({*(row.plan for row in rows), most})
    level = look_levels([*(row.draws for row in rows), config.draws], plans, 1 - config.confidence)[-1]
    contest = read_contest(config, work.out, work.data, choice)
    if contest is None:
        return LookRow(draws=config.draws, plan=most, level=level, word="continue", needs=None)
    found = look(contest, level, most, config.smallest_effect)
    return LookRow(draws=config.draws, plan=most, level=level, word=found.word, needs=found.needs)


def _fitting(work: Work, done: int, wanted: int, jobs: int, timer: Timer | None) -> int | None:
    """The draws of the next look: as many as wanted, or those that there is time for; None where there is for none."""
    for count in range(wanted, max(done, 1), -1):
        ahead = replace(work, config=replace(work.config, draws=count))
        if timer is None or timer.fits(_expected(ahead, jobs)):
            return count
    return None


def _expected(work: Work, jobs: int) -> float:
    """Seconds of training, divided by the jobs, of the trials that are not done, by those of the same arm that are."""
    finished: list[TuningResult | TrialResult] = [
        *(read_record(TuningResult, file) for file in TUNING.found(work.out)),
        *(read_record(TrialResult, file) for file in TRIALS.found(work.out)),
    ]
    known: dict[tuple[str, Budget], list[float]] = {}
    for one in finished:
        known.setdefault((one.arm, one.budget), []).append(one.seconds)
    means = {place: sum(seconds) / len(seconds) for place, seconds in known.items()}
    ahead = [key for key in all_trials(work.config) if not TRIALS.path(work.out, key.name).exists()]
    each = [means.get((key.arm, key.budget), 0.0) for key in ahead]
    return max(sum(each) / jobs, math.ceil(len(each) / jobs) * (sum(each) / len(each))) if each else 0.0


def look_notes(rows: Sequence[LookRow], confidence: float) -> list[str]:
    """What a reader must know of the looks."""
    last = rows[-1]
    draws = ", ".join(str(row.draws) for row in rows)
    notes = [
        f"label draws came in looks, after {draws}; every interval is at {1 - last.level:.2%}, the level of the last "
        f"look, so that all looks together err in at most {1 - confidence:.0%}"
    ]
    if last.word == "out of reach":
        needs = (
            f"about {last.needs} draws would be needed" if last.needs else "no number of label draws would decide it"
        )
        notes.append(f"stopped after {last.draws} draws, since a decision is out of reach: {needs}")
    if last.word == "continue":
        notes.append(f"stopped after {last.draws} draws, before it was decided")
    return notes

"""Label draws in looks: trained and judged until the answer is decided, is out of reach, or the time is up."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from unmask.comparison.forecast import forecast
from unmask.comparison.rivals import with_rivals_of_claims, without_rivals
from unmask.comparison.table import CLAIMS, read_contest
from unmask.comparison.tasks import Work
from unmask.comparison.timed_draws import Timer, fitting_draws, learning
from unmask.comparison.tuning import Choice
from unmask.errors import UserError
from unmask.inference.looks import look, look_draws, look_levels
from unmask.profiling.step_times import StepTimes
from unmask.runs.files import write_json
from unmask.runs.layout import LOOKS_FILE
from unmask.runs.look_records import LookRow, LookRows
from unmask.runs.read import read_optional
from unmask.wording import in_words

FIRST = 4
"""Draws before the first look."""
FACTOR = 2
"""Looks continue up to this many times the draws of the fixed design. More would find little more: the pretrainings,
which more draws do not add to, bound what can be decided."""
DECIDED = (*CLAIMS, "loss")
"""Words that end a comparison for good."""


def refuse_too_little_time(work: Work, jobs: int, times: StepTimes) -> None:
    """Raise UserError if not even the first look would finish in time."""
    within = work.config.seconds_within
    first = replace(work, config=replace(work.config, draws=FIRST))
    if within is not None and (needed := forecast(first, jobs, times).seconds) > within:
        raise UserError(
            f"within = {work.config.within}: pretraining, tuning and the first {FIRST} label draws take "
            f"{in_words(needed)}: give more time, or fewer `budgets`"
        )


def take_looks(
    work: Work,
    choice: Choice,
    needed: tuple[str, ...],
    run: Callable[[Work], None],
    jobs: int,
    timer: Timer | None,
) -> tuple[Work, tuple[LookRow, ...]]:
    """Train draws look by look; returns the work with the draws and the arms that were trained, and the looks.

    Earlier looks of the same folder count: a resumed comparison continues after them, unless they were decisive. Arms
    that are not needed are trained once a gain, or equivalence, holds without them.

    Args:
        choice: what the tuning draws decided.
        needed: the arms of the work without rivals of the best ones, see `Choice.needed`.
        run: trains the unfinished trials of a work.
        timer: None if time does not matter.

    Raises:
        UserError: there is no time for a single look.
    """
    config, out = work.config, work.out
    run = run if timer is None else learning(run, jobs, timer)
    with_rivals = needed != config.arms
    earlier = read_optional(LookRows, out / LOOKS_FILE)
    rows = [] if earlier is None else list(earlier.looks)
    most = max(FACTOR * config.planned_draws, rows[-1].plan if rows else 0)
    while not rows or (rows[-1].word not in DECIDED and rows[-1].draws < most):
        done = rows[-1].draws if rows else 0
        wanted = next((draws for draws in look_draws(FIRST, most) if draws > done), most)
        count = fitting_draws(work, done, wanted, jobs, timer)
        if count is None:
            break
        ahead = replace(work, config=replace(config, draws=count))
        for part in (without_rivals(ahead, needed), *[ahead] * with_rivals):
            run(part)
            row = _look(part, choice, rows, most, config.planned_draws)
            if row.word not in CLAIMS:
                break
        rows.append(row)
        write_json(out / LOOKS_FILE, LookRows(looks=tuple(rows)))
        if row.word == "out of reach":
            break
    if not rows:
        raise UserError(
            f"within = {config.within}: the time was over before the first look; finished work is kept, continue with "
            "`resume=True` and more time"
        )
    trained = replace(work, config=replace(config, draws=rows[-1].draws))
    if rows[-1].word not in CLAIMS:
        trained = with_rivals_of_claims(trained, choice, needed, rows[-1].level, run)
    return trained, tuple(rows)


def _look(work: Work, choice: Choice, rows: Sequence[LookRow], most: int, fixed: int) -> LookRow:
    """The look at the draws of `work`, at the level that is left for it; the fixed design has `fixed` draws."""
    config = work.config
    draws = [*(row.draws for row in rows), config.planned_draws]
    plans = sorted({*(row.plan for row in rows), most})
    ahead = [*draws, most] if most > draws[-1] else draws
    levels = look_levels(ahead, plans, 1 - config.confidence)
    level = levels[len(draws) - 1]
    contest = read_contest(config, work.out, work.data, choice)
    if contest is None:
        return LookRow(draws=draws[-1], plan=most, level=level, word="continue", needs=None)
    found = look(contest, level, levels[-1], most, config.smallest_effect, give_up=draws[-1] >= fixed)
    return LookRow(draws=draws[-1], plan=most, level=level, word=found.word, needs=found.needs)


def look_notes(rows: Sequence[LookRow], confidence: float) -> list[str]:
    """What a reader must know about the looks."""
    last = rows[-1]
    draws = ", ".join(str(row.draws) for row in rows)
    notes = [
        f"label draws came in looks, after {draws}; every interval is at {1 - last.level:.2%}, the level of the last "
        f"look, so that all looks together err at most in {1 - confidence:.0%}"
    ]
    if last.word == "out of reach":
        needs = (
            f"about {last.needs} draws would be needed" if last.needs else "no number of label draws would decide it"
        )
        notes.append(f"stopped after {last.draws} draws because a decision is out of reach: {needs}")
    elif last.word == "continue":
        notes.append(f"stopped after {last.draws} draws, before a decision")
    else:
        notes.append(f"stopped after {last.draws} draws, when it was decided which weights to start from: {last.word}")
    return notes

"""Answers that a comparison gave before it was resumed with more label draws.

A fixed design spends its whole error on its one answer. Whoever reads it and then adds draws has two chances to err;
the summary remembers the first one, and a note tells how often both err together.
"""

from collections.abc import Sequence
from pathlib import Path

from unmask.inference.looks import joint_error
from unmask.runs.layout import SUMMARY_FILE
from unmask.runs.look_records import LookRow
from unmask.runs.read import read_optional
from unmask.runs.summary_records import Summary
from unmask.wording import plural


def earlier_answers(out: Path, draws: int) -> tuple[int, ...]:
    """Numbers of label draws of the answers before the one after so many `draws`, as the folder's summary has them.

    Answers in looks do not count: they keep their error together with all later looks.
    """
    before = read_optional(Summary, out / SUMMARY_FILE)
    if before is None:
        return ()
    last = () if before.looks or not before.scores else (1 + max(score.draw for score in before.scores),)
    return tuple(sorted(count for count in {*before.answered, *last} if count < draws))


def answered_notes(answered: Sequence[int], draws: int, looks: Sequence[LookRow], confidence: float) -> list[str]:
    """A note on the error of all answers together, if there were earlier ones."""
    if not answered:
        return []
    own = {row.draws: row.level for row in looks} or {draws: 1 - confidence}
    levels = {count: max(own.get(count, 0.0), 1 - confidence) for count in answered}
    taken = dict(sorted((own | levels).items()))
    error = joint_error(tuple(taken), tuple(taken.values()))
    return [
        f"this comparison had an answer after {' and '.join(map(str, answered))} of its "
        f"{plural(draws, 'label draw')} already, at {confidence:.0%}, and was continued: all its answers together err "
        f"in up to {error:.1%}, not {1 - confidence:.0%}"
    ]

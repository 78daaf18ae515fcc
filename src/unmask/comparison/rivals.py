"""Rivals: arms that validation cannot tell from the best one. They are trained only where they can matter.

A gain, and equivalence, must hold against the best arm and every rival, while a loss against the best is one. So what
does not hold against the best alone is no claim, whatever the rivals do.
"""

from collections.abc import Callable
from dataclasses import replace

from unmask.comparison.table import claims
from unmask.comparison.tasks import Work
from unmask.comparison.tuning import Choice


def without_rivals(work: Work, needed: tuple[str, ...]) -> Work:
    """The work on the arms that are needed, see `Choice.needed`."""
    return replace(work, config=replace(work.config, arms=needed))


def with_rivals_of_claims(
    work: Work, choice: Choice, needed: tuple[str, ...], level: float, run: Callable[[Work], None]
) -> Work:
    """The work on the arms that are reported: with rivals, which are trained here, if any budget claims something.

    Args:
        work: all arms; those that are needed are trained.
        level: two-sided level of the claims.
        run: trains the unfinished trials of a work.
    """
    first = without_rivals(work, needed)
    if needed == work.config.arms:
        return work
    if not claims(first.config, work.out, work.data, choice, level):
        return first
    run(work)
    return work

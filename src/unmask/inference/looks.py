"""Deciding while draws come in: how much of the error each look may spend, and what a look decides.

Levels depend only on the draws of each look and on the plans, not on results, so recorded trials can be replayed. A
plan is a largest number of draws; some error is reserved in case it is extended later.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from unmask.inference.planning import draws_to_decide
from unmask.inference.verdict import Contest, word_of

SHARE = 0.9
"""Share of the remaining error that a plan may spend; the rest is reserved for plans that extend it."""

SHAPE = 1.5
"""Error spent at a fraction f of the plan: f ** SHAPE of the plan's share (Kim and DeMets, Biometrika 74, 1987)."""

LookWord = Literal["gain", "loss", "equivalent", "out of reach", "continue"]


@dataclass(frozen=True)
class Look:
    """The outcome of a look. All but "continue" end the comparison."""

    word: LookWord
    level: float
    """Nominal two-sided level of this look."""
    needs: int | None
    """Draws that would probably decide (four times in five); None if no number of draws would."""


def look_draws(first: int, most: int) -> tuple[int, ...]:
    """The numbers of draws at which looks happen: at `first`, then at steps of about two fifths more, and at `most`.

    Looks close together see almost the same data and gain little; looks far apart stop late.
    """
    draws = [min(first, most)]
    while draws[-1] < most:
        draws.append(min(most, max(draws[-1] + 1, round(1.4 * draws[-1]))))
    return tuple(draws)


def spent_error(draws: int, plans: Sequence[int], error: float) -> float:
    """The error that may be spent up to a look after `draws` draws, out of `error` in all; `plans` increase.

    Plan j may spend up to error (1 - (1 - SHARE)^j); within it the error grows as a power of the draws since the
    previous plan.
    """
    spent, start = 0.0, 0
    for plan in plans:
        share = SHARE * (error - spent)
        if draws <= plan:
            return spent + float(share * ((draws - start) / (plan - start)) ** SHAPE)
        spent, start = spent + share, plan
    return spent


def look_levels(draws: Sequence[int], plans: Sequence[int], error: float = 0.05) -> list[float]:
    """Nominal two-sided level of every look, so that all looks together err with probability `error` at most.

    Error spending (Lan and DeMets, Biometrika 70, 1983) for a mean of independent draws: the boundaries are solved by
    integrating over the paths that have not been stopped. The levels are then used with Student's t. What all looks
    share, such as test images and pretrainings, makes them conservative: it correlates looks more than new draws do.

    Args:
        draws: draws at each look, increasing.
        plans: largest numbers of draws, increasing; later ones extend earlier ones.
        error: error of all looks together, two-sided.
    """
    spent = [spent_error(count, plans, error) for count in draws]
    grid = np.linspace(-8.0, 8.0, 1601)
    density, levels = np.zeros_like(grid), []
    for index, count in enumerate(draws):
        may = spent[index] - (spent[index - 1] if index else 0.0)
        density = _arriving(grid, density, draws[index - 1] / count if index else 0.0)
        outside = _outside(grid, density)
        bound = float(np.interp(may, outside[: grid.size // 2], np.abs(grid[: grid.size // 2])))
        levels.append(2 * float(special.ndtr(-bound)))
        density = np.where(np.abs(grid) < bound, density, 0.0)
    return levels


def joint_error(draws: Sequence[int], levels: Sequence[float]) -> float:
    """The probability that one look or more errs, each at its own nominal two-sided level: the reverse of
    `look_levels`, by the same integration.

    Args:
        draws: draws at each look, increasing.
        levels: level of each.
    """
    grid = np.linspace(-8.0, 8.0, 1601)
    density, error = np.zeros_like(grid), 0.0
    for index, (count, level) in enumerate(zip(draws, levels, strict=True)):
        density = _arriving(grid, density, draws[index - 1] / count if index else 0.0)
        bound = -float(special.ndtri(level / 2))
        error += float(np.interp(-bound, grid, _outside(grid, density)))
        density = np.where(np.abs(grid) < bound, density, 0.0)
    return error


def look(contest: Contest, level: float, last: float, plan: int, smallest: float, *, give_up: bool) -> Look:
    """The outcome of one look: a decision, that more draws are worthwhile, or that the plan's draws will not decide.

    "out of reach": at the end of the plan the current difference would have less than an even chance. This stops
    without a verdict, so it costs no error.

    Args:
        contest: the difference that is asked for, and its rivals.
        level: nominal two-sided level of this look.
        last: that of the plan's last look, which is what more draws will be judged by. The first looks have levels so
            small that with few pretrainings nothing would ever pass them.
        plan: the largest number of draws.
        smallest: the smallest difference that matters.
        give_up: whether it may be out of reach. Not before the draws of the fixed design: a few draws cannot tell their
            spread from that of the pretrainings, which more draws would not reduce.
    """
    word = word_of(contest, contest.p_zero, contest.p_equivalent(smallest), level)
    if word != "undecided":
        return Look(word, level, None)
    needs = draws_to_decide(contest, last, smallest, power=0.8)
    even = draws_to_decide(contest, last, smallest, power=0.5)
    hopeless = even is None or even > plan
    return Look("out of reach" if hopeless and give_up else "continue", level, needs)


def _arriving(grid: NDArray[np.float64], density: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Density of a look's statistic; with no share of earlier draws, it is the first look's."""
    return _next(grid, density, share) if share else np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi)


def _outside(grid: NDArray[np.float64], density: NDArray[np.float64]) -> NDArray[np.float64]:
    """The probability of both tails beyond |grid|, from the outermost inward."""
    both = density + density[::-1]
    return np.asarray((np.cumsum(both) - both / 2) * (grid[1] - grid[0]), dtype=np.float64)


def _next(grid: NDArray[np.float64], density: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Density of the next look's statistic √share z + √(1 - share) new, from the paths not yet stopped."""
    step = grid[1] - grid[0]
    apart = grid[:, None] - np.sqrt(share) * grid[None, :]
    kernel = np.exp(-(apart**2) / (2 * (1 - share))) / np.sqrt(2 * np.pi * (1 - share))
    return np.asarray(kernel @ density * step, dtype=np.float64)

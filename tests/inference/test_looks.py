"""Looks while draws come in: together they err as often as one look would."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from unmask.inference.estimate import Estimate, interval_of
from unmask.inference.hierarchy import Key, estimate_over
from unmask.inference.looks import SHARE, joint_error, look, look_draws, look_levels, spent_error
from unmask.inference.verdict import Contest


def test_looks_come_at_growing_steps() -> None:
    assert look_draws(4, 12) == (4, 6, 8, 11, 12)
    assert look_draws(5, 3) == (3,)


def test_error_is_spent_up_to_the_share_of_the_plan_and_later_plans_spend_the_rest() -> None:
    assert spent_error(10, [10], 0.05) == pytest.approx(SHARE * 0.05)
    assert spent_error(20, [10, 20], 0.05) == pytest.approx((1 - (1 - SHARE) ** 2) * 0.05)
    spent = [spent_error(draws, [10, 20], 0.05) for draws in range(1, 21)]
    assert spent == sorted(spent)
    assert spent[-1] < 0.05


def test_one_look_at_the_end_has_the_level_of_the_plan() -> None:
    assert look_levels([12], [12], 0.05) == pytest.approx([0.045], abs=2e-4)


def test_looks_are_replayable() -> None:
    """A longer plan changes no level of a look that was taken before."""
    first = look_levels([4, 6, 10], [10])
    assert look_levels([4, 6, 10, 14, 20], [10, 20])[:3] == first


def test_paths_of_independent_draws_leave_the_boundaries_as_often_as_planned() -> None:
    draws, plans = [4, 6, 8, 12, 16, 24], [12, 24]
    levels = look_levels(draws, plans, 0.05)
    rng = np.random.default_rng(0)
    sums = rng.normal(size=(40_000, 24)).cumsum(axis=1)
    out = [np.abs(sums[:, n - 1]) / n**0.5 > stats.norm.isf(level / 2) for n, level in zip(draws, levels, strict=True)]
    crossed = np.logical_or.accumulate(out)
    expected = [spent_error(count, plans, 0.05) for count in draws]
    # 40,000 paths at 0.05: standard deviation 0.0011
    assert crossed.mean(axis=1) == pytest.approx(expected, abs=0.004)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=5, unique=True).map(sorted), st.floats(0.01, 0.2))
@settings(max_examples=25, deadline=None)
def test_levels_of_looks_err_together_as_much_as_was_spent(draws: list[int], error: float) -> None:
    levels = look_levels(draws, [draws[-1]], error)
    assert joint_error(draws, levels) == pytest.approx(spent_error(draws[-1], [draws[-1]], error), rel=0.01)


@pytest.mark.parametrize(
    ("draws", "levels"), [((9,), (0.05,)), ((9, 15), (0.05, 0.05)), ((5, 9, 30), (0.05, 0.1, 0.02))]
)
def test_the_joint_error_is_that_of_the_normal_distribution(draws: tuple[int, ...], levels: tuple[float, ...]) -> None:
    """One minus the probability that all statistics, correlated √(n / m), are within their bounds."""
    bounds = [float(stats.norm.isf(level / 2)) for level in levels]
    shared = [[(min(n, m) / max(n, m)) ** 0.5 for m in draws] for n in draws]
    inside = 0.0  # by inclusion and exclusion of the corners
    for signs in itertools.product((1, -1), repeat=len(draws)):
        corner = [sign * bound for sign, bound in zip(signs, bounds, strict=True)]
        inside += np.prod(signs) * stats.multivariate_normal(np.zeros(len(draws)), shared).cdf(corner)
    assert joint_error(draws, levels) == pytest.approx(1 - inside, rel=3e-3)


def _estimates(rng: np.random.Generator, draws: list[int], gain: float) -> list[Estimate]:
    images = rng.normal(0, 0.3, 150)
    rows: dict[Key, np.ndarray] = {
        (s % 3, s): gain + rng.normal(0, 0.02) + images + rng.normal(0, 0.3, 150) for s in range(max(draws))
    }
    kept = [{key: row for key, row in rows.items() if key[1] < count} for count in draws]
    return [estimate_over({key: float(row.mean()) for key, row in part.items()}, part) for part in kept]


@pytest.mark.slow
def test_optional_stopping_keeps_the_total_error() -> None:
    """Replayed on tables with no gain: stopping at the first decision errs in at most 5 %; looking at every interval of
    95 % errs more often."""
    draws, levels = [6, 9, 12, 18], look_levels([6, 9, 12, 18], [18])
    rng = np.random.default_rng(0)
    wrong, naive = 0, 0
    for _ in range(300):
        found = _estimates(rng, draws, 0.0)
        each = zip(found, levels, strict=True)
        words = [look(Contest(one), level, levels[-1], 18, 0.001, give_up=True).word for one, level in each]
        wrong += "gain" in words or "loss" in words
        ends = [interval_of(one, 0.95) for one in found]
        naive += any(one.low is not None and one.high is not None and (one.low > 0 or one.high < 0) for one in ends)
    assert wrong <= 22  # 300 at 0.05: mean 15, standard deviation 3.8
    assert wrong < naive


def test_a_large_gain_stops_early_and_a_tiny_one_is_out_of_reach() -> None:
    rng = np.random.default_rng(0)
    large, tiny = (_estimates(rng, [6, 18], gain) for gain in (0.4, 0.01))
    levels = look_levels([6, 18], [18])
    assert look(Contest(large[0]), *levels, 18, 0.01, give_up=True).word == "gain"
    found = look(Contest(tiny[0]), *levels, 18, 0.0001, give_up=True)
    assert found.word == "out of reach"
    assert found.needs is None or found.needs > 18


def test_a_difference_that_eighteen_draws_may_find_goes_on() -> None:
    rng = np.random.default_rng(1)
    values: dict[Key, float] = {(None, s): 0.02 + float(rng.normal(0, 0.02)) for s in range(4)}
    found = look(Contest(estimate_over(values)), 0.001, 0.03, 18, 0.001, give_up=True)
    assert found.word == "continue"
    assert found.needs is not None
    assert 4 < found.needs <= 40


def test_what_the_first_look_cannot_decide_is_not_out_of_reach() -> None:
    """Three pretrainings leave two degrees of freedom: at the first look's level of 0.2 % no steady gain passes,
    however many draws follow, but it may at the level of the last."""
    gains = {(s % 3, s): gain for s, gain in enumerate((0.050, 0.031, 0.034, 0.043))}
    first, last = look_levels([4, 36], [36])
    contest = Contest(estimate_over(gains))
    assert first < 0.002
    assert look(contest, first, last, 36, 0.01, give_up=True).word == "continue"
    assert look(contest, first, first, 36, 0.01, give_up=True).word == "out of reach"
    assert look(contest, first, first, 36, 0.01, give_up=False).word == "continue"

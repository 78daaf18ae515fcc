"""Which units count, and that intervals over two crossed sources of chance cover the truth."""

import numpy as np
import pytest

from unmask.inference.estimate import interval_of, paired_interval
from unmask.inference.hierarchy import crossed, estimate_over, paired_differences


def test_arms_without_pretraining_pair_with_every_pretraining() -> None:
    mrp = {(0, 0): 0.8, (1, 0): 0.9, (0, 1): 0.7}
    scratch = {(None, 0): 0.5}
    expected = {(0, 0): 0.3, (1, 0): 0.4}
    assert paired_differences(mrp, scratch) == pytest.approx(expected)
    assert paired_differences(scratch, mrp) == pytest.approx({key: -value for key, value in expected.items()})
    assert paired_differences(mrp, {(0, 0): 0.6, (1, 0): 0.2}) == pytest.approx({(0, 0): 0.2, (1, 0): 0.7})


def test_few_pretrainings_are_averaged_within_a_draw_and_said() -> None:
    values = {(p, s): 0.1 * s + 0.01 * p for p in range(2) for s in range(4)}
    found = interval_of(estimate_over(values), 0.95)
    by_hand = paired_interval([0.1 * s + 0.005 for s in range(4)], 0.95)
    assert (found.low, found.high, found.n) == pytest.approx((by_hand.low, by_hand.high, 4))
    assert found.method == "paired t over label draws, conditional on 2 pretrainings"


def test_nested_draws_are_averaged_within_a_pretraining() -> None:
    values = {(p, 2 * p + j): 0.1 * p + j for p in range(5) for j in range(2)}
    found = interval_of(estimate_over(values), 0.95)
    by_hand = paired_interval([0.1 * p + 0.5 for p in range(5)], 0.95)
    assert (found.low, found.high, found.n) == pytest.approx((by_hand.low, by_hand.high, 5))
    assert "over pretrainings" in found.method


def test_without_pretraining_the_draws_are_the_units() -> None:
    assert estimate_over({(None, s): float(s) for s in range(3)}).method == "paired t over label draws"


def test_crossed_equals_the_t_interval_where_draws_do_not_matter() -> None:
    effects = np.array([0.1, 0.3, -0.2, 0.4, 0.0])
    estimate = crossed(np.repeat(effects[:, None], 4, axis=1))
    by_hand, found = paired_interval(effects, 0.95), interval_of(estimate, 0.95)
    assert (found.mean, found.low, found.high) == pytest.approx((by_hand.mean, by_hand.low, by_hand.high))


def test_crossed_intervals_cover_where_averaging_within_pretrainings_does_not() -> None:
    rng = np.random.default_rng(0)
    covered, naive = 0, 0
    for _ in range(400):
        table = rng.normal(0, 1, (5, 1)) + rng.normal(0, 1, (1, 4)) + rng.normal(0, 0.5, (5, 4))
        found = interval_of(crossed(table), 0.9)
        covered += found.low is not None and found.high is not None and found.low <= 0 <= found.high
        one_way = paired_interval(table.mean(axis=1), 0.9)
        naive += one_way.low is not None and one_way.high is not None and one_way.low <= 0 <= one_way.high
    assert covered >= 350
    assert naive < 340


def test_crossed_is_used_from_five_pretrainings_on() -> None:
    rng = np.random.default_rng(1)
    values = {(p, s): float(rng.normal()) for p in range(5) for s in range(3)}
    assert "two-way" in estimate_over(values).method
    assert "conditional on 4" in estimate_over({key: v for key, v in values.items() if key[0] < 4}).method
    assert "two-way" not in estimate_over({(p, 0): values[(p, 0)] for p in range(5)}).method

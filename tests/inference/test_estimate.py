"""Intervals and tests against scipy, closed forms, and their duality."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from unmask.errors import UserError
from unmask.inference.estimate import detectable_mean, estimate_mean, paired_interval
from unmask.inference.verdict import Contest, holm

STEADY = settings(deadline=None, derandomize=True, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
FINITE = st.floats(-1, 1, allow_nan=False).map(lambda x: round(x, 4))


def test_paired_t_equals_scipy() -> None:
    a, b = np.array([0.71, 0.69, 0.74, 0.70]), np.array([0.70, 0.66, 0.70, 0.69])
    expected = stats.ttest_rel(a, b)
    low, high = expected.confidence_interval(0.95)
    found = paired_interval(a - b, 0.95)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert (found.n, found.method) == (4, "paired t")
    assert Contest(estimate_mean(a - b)).p_zero == pytest.approx(expected.pvalue)


def test_one_pair_has_no_interval() -> None:
    found = paired_interval([0.1], 0.95)
    assert (found.mean, found.low, found.high, found.method) == (0.1, None, None, "single")
    assert Contest(estimate_mean([0.1])).p_zero == 1.0
    assert detectable_mean(estimate_mean([0.1]), 0.95) is None


def test_equal_pairs_do_not_pretend_to_know_their_spread() -> None:
    found = paired_interval([0.85 - 0.84, 0.86 - 0.85, 0.87 - 0.86], 0.95)
    assert (found.low, found.high, found.method) == (None, None, "no spread")
    assert Contest(estimate_mean([0.01, 0.01])).p_zero == 1.0


def test_bootstrap_starts_at_ten_and_is_reproducible() -> None:
    values = np.random.default_rng(0).normal(0.1, 1, 10)
    assert paired_interval(values[:9], 0.95).method == "paired t"
    first = paired_interval(values, 0.95)
    assert first.method == "bootstrap"
    assert first == paired_interval(values, 0.95)
    assert first != paired_interval(values, 0.95, seed=1)


def test_bootstrap_agrees_with_student_on_many_normal_values() -> None:
    values = np.random.default_rng(1).normal(0.3, 1, 200)
    found, expected = paired_interval(values, 0.95), stats.ttest_1samp(values, 0)
    low, high = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.01)
    assert Contest(estimate_mean(values / 3)).p_zero == pytest.approx(stats.ttest_1samp(values / 3, 0).pvalue, abs=2e-3)


def test_bootstrap_of_ten_is_as_wide_as_student() -> None:
    values = np.linspace(-1, 1, 10) ** 3
    found = paired_interval(values, 0.95)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert found.low is not None
    assert found.high is not None
    # A plain percentile interval would have 0.82 of that width.
    assert 0.95 < (found.high - found.low) / (high - low) < 1.05


@pytest.mark.parametrize("n", [5, 12])
def test_intervals_cover_the_truth_as_often_as_they_say(n: int) -> None:
    rng = np.random.default_rng(n)
    intervals = [paired_interval(rng.normal(0.5, 1, n), 0.9) for _ in range(400)]
    covered = sum(i.low <= 0.5 <= i.high for i in intervals if i.low is not None and i.high is not None)
    # 400 trials at 0.9: standard deviation 6.
    assert abs(covered - 360) < 18


@STEADY
@given(st.lists(FINITE, min_size=2, max_size=14))
def test_the_interval_excludes_zero_exactly_where_p_is_small(values: list[float]) -> None:
    found, p = paired_interval(values, 0.9), Contest(estimate_mean(values)).p_zero
    if found.low is None or found.high is None:
        assert p == 1.0
    elif abs(p - 0.1) > 5e-3:  # Quantiles of 10,000 resamples have steps of their own.
        assert (p < 0.1) == (found.low > 0 or found.high < 0)


@STEADY
@given(st.lists(FINITE, min_size=2, max_size=14))
def test_mirrored_pairs_have_the_mirrored_interval(values: list[float]) -> None:
    found, mirrored = paired_interval(values, 0.95), paired_interval([-v for v in values], 0.95)
    assert found.mean == pytest.approx(-mirrored.mean)
    if found.low is not None and mirrored.high is not None:
        assert found.low == pytest.approx(-mirrored.high, abs=1e-9)


def test_equivalence_is_the_larger_of_two_one_sided_tests() -> None:
    values = np.array([0.001, -0.002, 0.003, 0.0])
    upper = stats.ttest_1samp(values, 0.01, alternative="less").pvalue
    lower = stats.ttest_1samp(values, -0.01, alternative="greater").pvalue
    assert Contest(estimate_mean(values)).p_equivalent(0.01) == pytest.approx(max(upper, lower))
    assert Contest(estimate_mean(values + 0.01)).p_equivalent(0.01) > 0.5


def test_equivalence_means_that_the_ninety_per_cent_interval_is_inside() -> None:
    for shift in np.linspace(0, 0.012, 25):
        values = np.array([0.004, -0.003, 0.002, -0.001, 0.0]) + shift
        found = paired_interval(values, 0.9)
        assert found.low is not None
        assert found.high is not None
        assert (Contest(estimate_mean(values)).p_equivalent(0.01) < 0.05) == (found.low > -0.01 and found.high < 0.01)


def test_detectable_effect_is_found_four_times_in_five() -> None:
    values = np.array([-1.0, 0.0, 1.0, 0.5, -0.5])
    effect = detectable_mean(estimate_mean(values), 0.95)
    assert effect is not None
    ncp = effect / (values.std(ddof=1) / np.sqrt(5))
    t = stats.t.ppf(0.975, 4)
    assert stats.nct.sf(t, 4, ncp) + stats.nct.cdf(-t, 4, ncp) == pytest.approx(0.8, abs=1e-6)
    rng = np.random.default_rng(0)
    trials = rng.normal(effect, values.std(ddof=1), (4000, 5))
    assert np.mean(stats.ttest_1samp(trials, 0, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=0.03)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


@STEADY
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_nothing_and_bonferroni(p: list[float]) -> None:
    adjusted = holm(p)
    assert all(x <= a <= min(1.0, len(p) * x) + 1e-12 for x, a in zip(p, adjusted, strict=True))
    assert np.argsort(adjusted, kind="stable").tolist() == sorted(range(len(p)), key=lambda i: (adjusted[i], i))


def test_values_must_be_finite() -> None:
    with pytest.raises(UserError, match="finite"):
        paired_interval([0.1, float("nan")], 0.95)
    with pytest.raises(UserError, match="finite"):
        paired_interval([], 0.95)

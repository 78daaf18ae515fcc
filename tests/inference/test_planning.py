"""Power before looking, where the uncertainty comes from, and what to add."""

import numpy as np
import pytest
from scipy import stats

from unmask.inference.estimate import Estimate, estimate_mean
from unmask.inference.hierarchy import Key, estimate_over
from unmask.inference.planning import advice, draws_needed, draws_to_decide, power_of, variance_rows, with_more
from unmask.inference.variance import Component
from unmask.inference.verdict import Contest


def _estimate(**sd: float) -> Estimate:
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(0, sd.get("a", 0), 3), rng.normal(0, sd.get("b", 0), 12), rng.normal(0, sd.get("c", 0), 60)
    rows: dict[Key, np.ndarray] = {(s % 3, s): 0.5 + a[s % 3] + b[s] + c + rng.normal(0, 0.1, 60) for s in range(12)}
    return estimate_over({key: float(row.mean()) for key, row in rows.items()}, rows)


def test_power_is_that_of_the_t_test() -> None:
    parts = [Component("draw", 0.04, 4.0, 5)]
    t = stats.t.ppf(0.975, 4)
    assert power_of(0.5, parts, 0.95) == pytest.approx(stats.nct.sf(t, 4, 0.5 / 0.2), rel=1e-3)


def test_draws_needed_are_those_of_a_table_of_power() -> None:
    """sd 2.5 points, gain 2 points, power 0.8: a t-test needs 15 draws (scipy), whatever the tuning had."""
    tuning: dict[Key, float] = {(None, s): value for s, value in enumerate([2.5, -2.5, 2.5, -2.5])}
    scale = np.std(list(tuning.values()), ddof=1) / 2.5
    found = draws_needed(estimate_over({key: value / scale for key, value in tuning.items()}), 2.0)
    t = [stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, 2.0 / 2.5 * n**0.5) for n in range(2, 40)]
    assert found == 2 + int(np.argmax(np.array(t) >= 0.8))


def test_draws_do_not_help_where_the_test_images_are_too_few() -> None:
    assert draws_needed(_estimate(b=0.01, c=2.0), 0.1) is None
    assert draws_needed(estimate_over({(None, 0): 0.1}), 0.1) is None


def test_a_gain_must_be_within_reach_against_every_rival() -> None:
    rng = np.random.default_rng(0)
    clear, weak = (
        estimate_over({(None, s): mean + float(rng.normal(0, 0.02)) for s in range(5)}) for mean in (0.1, 0.01)
    )
    alone = draws_to_decide(Contest(clear), 0.05, 0.001)
    both = draws_to_decide(Contest(clear, (weak,)), 0.05, 0.001)
    assert alone is not None
    assert both is None or both > alone
    assert draws_to_decide(Contest(estimate_mean([0.1])), 0.05, 0.01) is None


def test_rows_name_the_largest_source_first_and_add_up() -> None:
    for source, words in (("a", "pretraining"), ("b", "label draw and training seed"), ("c", "test image")):
        rows = variance_rows(_estimate(**{source: 1.0}))
        assert rows[0].source == words
        assert rows[0].share > 0.8
        assert rows[0].sd == pytest.approx(1.0, rel=0.65)
        assert sum(row.share for row in rows) == pytest.approx(1.0)


def test_the_training_seed_is_told_apart_where_it_was_measured() -> None:
    found = _estimate(b=1.0)
    whole = {row.source: row.sd**2 for row in variance_rows(found)}["label draw and training seed"]
    rows = {row.source: row for row in variance_rows(found, seed=0.3)}
    assert rows["training seed"].sd ** 2 == pytest.approx(0.3)
    assert rows["label draw"].sd ** 2 == pytest.approx(whole - 0.3)


@pytest.mark.parametrize(("source", "kind"), [("a", "pretrainings"), ("b", "label draws"), ("c", "test images")])
def test_the_advice_is_to_add_what_varies_most(source: str, kind: str) -> None:
    assert advice(_estimate(**{source: 1.0})).startswith(f"Add {kind}: with ")


def test_advice_without_a_spread() -> None:
    assert "unknown" in advice(estimate_over({(0, 0): 0.1}))


def test_more_units_make_their_components_smaller() -> None:
    parts = [Component("draw", 1.0, 3.0, 4), Component("image", 1.0, 99.0, 100), Component("rest", 1.0, 297.0, 400)]
    found = with_more(parts, "label draws", 2)
    assert [one.variance for one in found] == [0.5, 1.0, 0.5]
    assert [one.freedom for one in found] == [7.0, 99.0, 594.0]

"""Components of variance against closed forms and against the numbers they were simulated with."""

import numpy as np
import pytest

from unmask.inference.variance import (
    Component,
    crossed_components,
    freedom_of,
    nested_components,
    unit_components,
    widen_for_overlap,
)


def _of(components: list[Component]) -> dict[str, float]:
    """σ² by source."""
    return {one.source: one.variance * one.count for one in components}


def test_components_are_found_again_in_a_crossed_table() -> None:
    rng = np.random.default_rng(0)
    sums: dict[str, float] = {}
    for _ in range(300):
        table = 2 * rng.normal(size=(4, 1, 1)) + rng.normal(size=(1, 5, 1)) + 1.5 * rng.normal(size=(1, 1, 40))
        table = table + 0.8 * rng.normal(size=(4, 5, 1)) + 0.6 * rng.normal(size=(4, 1, 40))
        table = table + 0.7 * rng.normal(size=(1, 5, 40)) + 0.5 * rng.normal(size=(4, 5, 40))
        for source, value in _of(crossed_components(table)).items():
            sums[source] = sums.get(source, 0.0) + value / 300
    expected = {
        "pretraining": 4.0,
        "draw": 1.0,
        "image": 2.25,
        "pretraining x draw": 0.64,
        "pretraining x image": 0.36,
        "draw x image": 0.49,
        "rest": 0.25,
    }
    assert sums == pytest.approx(expected, rel=0.12)


def test_components_are_found_again_where_draws_belong_to_pretrainings() -> None:
    rng = np.random.default_rng(0)
    owner = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0])
    sums: dict[str, float] = {}
    for _ in range(300):
        a, ac = 2 * rng.normal(size=(3, 1)), 0.6 * rng.normal(size=(3, 40))
        table = a[owner] + ac[owner] + rng.normal(size=(10, 1)) + 1.5 * rng.normal(size=(1, 40))
        table = table + 0.5 * rng.normal(size=(10, 40))
        for source, value in _of(nested_components(table, owner)).items():
            sums[source] = sums.get(source, 0.0) + value / 300
    expected = {"pretraining": 4.0, "draw": 1.0, "image": 2.25, "pretraining x image": 0.36, "rest": 0.25}
    assert sums == pytest.approx(expected, rel=0.12)


def test_the_whole_is_the_variance_of_the_mean() -> None:
    """Where no part is negative the parts add up to the unbiased estimate, here that of independent pretrainings."""
    effects = np.array([0.1, 0.3, -0.2, 0.4, 0.0])
    found = crossed_components(np.repeat(effects[:, None, None], 4, axis=1))
    assert sum(one.variance for one in found) == pytest.approx(effects.var(ddof=1) / 5)
    found = nested_components(np.repeat(effects, 3)[:, None], np.repeat(np.arange(5), 3))
    assert sum(one.variance for one in found) == pytest.approx(effects.var(ddof=1) / 5)
    found = unit_components(effects[:, None])
    assert sum(one.variance for one in found) == pytest.approx(effects.var(ddof=1) / 5)


def test_the_freedom_of_one_component_is_its_own() -> None:
    for freedom in (1.0, 2.0, 9.0, 400.0):
        assert freedom_of([Component("draw", 0.3, freedom, 4)]) == pytest.approx(freedom, rel=1e-3)


def test_the_freedom_of_a_sum_is_more_careful_than_satterthwaites() -> None:
    parts = [Component("pretraining", 1.0, 1.0, 2), Component("draw", 1.0, 10.0, 11)]
    assert 1.0 < freedom_of(parts) < 4 / (1 + 0.1)


def test_overlap_widens_what_varies_with_the_labels_alone() -> None:
    parts = [Component("draw", 1.0, 3.0, 4), Component("image", 1.0, 99.0, 100)]
    assert [one.variance for one in widen_for_overlap(parts, 0.2, 4)] == pytest.approx([2.0, 1.0])
    assert widen_for_overlap(parts, 0.0, 4) == widen_for_overlap(parts, 1.0, 4) == parts

"""AUROC of all units for all parts at once, against scikit-learn and the laws of ranks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from unmask.audit.measures import auroc
from unmask.audit.measures.auroc import auroc_matrix


def draw(seed: int, n: int = 40, units: int = 5, parts: int = 3, levels: int = 6) -> tuple[np.ndarray, ...]:
    """Values with many ties; some images are neither positive nor negative."""
    rng = np.random.default_rng(seed)
    role = rng.integers(0, 3, (n, parts))
    role[:2] = [[0], [1]]
    return rng.integers(0, levels, (n, units)).astype(float), role == 0, role == 1


@given(seed=st.integers(0, 10**6), levels=st.integers(1, 50))
@settings(max_examples=8, deadline=None)
def test_equals_sklearn_for_every_unit_and_part(seed: int, levels: int) -> None:
    values, positive, negative = draw(seed, units=3, parts=2, levels=levels)
    found = auroc_matrix(values, positive, negative)
    for unit in range(values.shape[1]):
        for part in range(positive.shape[1]):
            used = positive[:, part] | negative[:, part]
            assert found[unit, part] == pytest.approx(
                roc_auc_score(positive[used, part], values[used, unit]), abs=1e-12
            )


def test_rising_transformations_change_nothing_and_falling_ones_mirror() -> None:
    values, positive, negative = draw(1)
    plain = auroc_matrix(values, positive, negative)
    np.testing.assert_array_equal(auroc_matrix(np.exp(values), positive, negative), plain)
    np.testing.assert_allclose(auroc_matrix(-values, positive, negative), 1 - plain, atol=1e-12)
    np.testing.assert_allclose(auroc_matrix(values, negative, positive), 1 - plain, atol=1e-12)


def test_the_order_of_images_units_and_parts_does_not_matter() -> None:
    values, positive, negative = draw(2)
    rng = np.random.default_rng(0)
    rows, units, parts = rng.permutation(40), rng.permutation(5), rng.permutation(3)
    moved = auroc_matrix(values[rows][:, units], positive[rows][:, parts], negative[rows][:, parts])
    np.testing.assert_array_equal(moved, auroc_matrix(values, positive, negative)[units][:, parts])


def test_constant_units_are_at_a_half_and_perfect_ones_at_one() -> None:
    _, positive, negative = draw(3)
    values = np.stack([np.zeros(40), positive[:, 0].astype(float)], 1)
    found = auroc_matrix(values, positive, negative)
    np.testing.assert_array_equal(found[0], 0.5)
    assert found[1, 0] == 1


def test_a_part_without_positives_or_negatives_is_not_a_number() -> None:
    values, positive, negative = draw(4)
    positive[:, 0] = False
    negative[:, 1] = False
    found = auroc_matrix(values, positive, negative)
    assert np.isnan(found[:, :2]).all()
    assert not np.isnan(found[:, 2]).any()


def test_units_are_taken_in_pieces_without_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = draw(5, units=7)
    whole = auroc_matrix(*drawn)
    monkeypatch.setattr(auroc, "_NUMBERS", 1)
    np.testing.assert_array_equal(auroc_matrix(*drawn), whole)

"""CKA, common parts and the ensemble gap against closed forms and their invariances."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, jaccard_score

from unmask.audit.measures.agreement import ensemble_gap, linear_cka, overlap


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def rotation(seed: int, d: int) -> np.ndarray:
    return np.linalg.qr(normal(seed, d, d))[0]


def kernel_cka(x: np.ndarray, y: np.ndarray) -> float:
    """HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) with centered kernels: the definition, over images."""
    h = np.eye(len(x)) - 1 / len(x)
    k, m = h @ x @ x.T @ h, h @ y @ y.T @ h
    return float(np.trace(k @ m) / np.sqrt(np.trace(k @ k) * np.trace(m @ m)))


def test_cka_equals_its_definition_by_kernels() -> None:
    x, y = normal(0, 30, 8), normal(1, 30, 5)
    y[:, 0] += x[:, 0]
    assert linear_cka(x, y) == pytest.approx(kernel_cka(x, y))


@pytest.mark.parametrize("debiased", [False, True])
def test_cka_is_symmetric_and_blind_to_rotation_scale_and_shift(debiased: bool) -> None:
    x, y = normal(0, 40, 6), normal(1, 40, 6) + normal(0, 40, 6)
    plain = linear_cka(x, y, debiased=debiased)
    assert linear_cka(y, x, debiased=debiased) == pytest.approx(plain)
    assert linear_cka(3 * x @ rotation(2, 6) + 5, y, debiased=debiased) == pytest.approx(plain)
    assert linear_cka(x, -2 * x @ rotation(3, 6) + 1, debiased=debiased) == pytest.approx(1)
    assert linear_cka(x * [9, 1, 1, 1, 1, 1], y, debiased=debiased) != pytest.approx(plain, abs=0.01)


def test_cka_of_orthogonal_directions_is_the_cosine_of_their_weights() -> None:
    basis = np.linalg.qr(normal(0, 40, 4) - normal(0, 40, 4).mean(0))[0]
    x, y = basis[:, :2], basis[:, [0, 2]]
    assert linear_cka(x, y) == pytest.approx(0.5)
    assert linear_cka(basis[:, :2], basis[:, 2:]) == pytest.approx(0, abs=1e-12)


def test_with_few_images_unrelated_features_look_alike_unless_debiased() -> None:
    plain = [linear_cka(normal(i, 50, 200), normal(i + 100, 50, 200)) for i in range(10)]
    fair = [linear_cka(normal(i, 50, 200), normal(i + 100, 50, 200), debiased=True) for i in range(10)]
    assert min(plain) > 0.7
    assert abs(np.mean(fair)) < 0.02


def test_debiased_and_plain_cka_agree_for_many_images() -> None:
    x = normal(0, 800, 4)
    y = x @ normal(2, 4, 4) + normal(1, 800, 4)
    assert linear_cka(x, y, debiased=True) == pytest.approx(linear_cka(x, y), abs=0.01)


def test_cka_with_constant_features_is_not_a_number() -> None:
    assert np.isnan(linear_cka(np.ones((10, 3)), normal(0, 10, 3)))
    assert np.isnan(linear_cka(np.ones((10, 3)), normal(0, 10, 3), debiased=True))


def test_overlap_against_sklearn_and_enumeration() -> None:
    rng = np.random.default_rng(0)
    for _ in range(8):
        a, b = rng.random((2, 12)) < 0.5
        a[:2], b[:2] = [True, False], [False, True]
        found = overlap(a, b)
        assert found.kappa == pytest.approx(cohen_kappa_score(a, b))
        assert found.jaccard == pytest.approx(jaccard_score(a, b))
        assert found.expected == pytest.approx(a.sum() * b.sum() / 12)
        shuffled = [(a & rng.permutation(b)).sum() for _ in range(400)]
        assert found.p_value == pytest.approx(np.mean(np.array(shuffled) >= found.both), abs=0.1)


def test_overlap_of_equal_opposite_full_and_empty_sets() -> None:
    a = np.array([True] * 3 + [False] * 3)
    assert (overlap(a, a).kappa, overlap(a, a).jaccard, overlap(a, a).p_value) == (1, 1, pytest.approx(1 / 20))
    assert (overlap(a, ~a).kappa, overlap(a, ~a).jaccard, overlap(a, ~a).p_value) == (-1, 0, 1)
    everything = np.ones(6, bool)
    assert overlap(everything, a).kappa is None
    assert overlap(~everything, ~everything).jaccard is None


def test_an_ensemble_of_specialists_gains_and_one_of_twins_does_not() -> None:
    labels = np.array([0, 1] * 50)
    unsure, sure = np.full((100, 2), 0.5), np.eye(2)[labels]
    unsure[:, 0] += 1e-3
    first = np.where(np.arange(100)[:, None] < 50, sure, unsure)
    second = np.where(np.arange(100)[:, None] >= 50, sure, unsure)
    found = ensemble_gap(np.stack([first, second]), labels)
    assert (found.single, found.ensemble, found.gap) == (0.75, 1.0, 0.25)
    assert ensemble_gap(np.stack([first, first]), labels).gap == 0

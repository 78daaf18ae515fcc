"""Probe, neighbors and rank on features whose answer is known."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from unmask.config.metric import TASK_METRICS
from unmask.errors import UserError
from unmask.evaluate.knn import knn_predict
from unmask.evaluate.metrics import classification_metrics
from unmask.evaluate.probe import STRENGTHS, linear_probe
from unmask.evaluate.rank import effective_rank, feature_std

STEADY = settings(deadline=None, derandomize=True, max_examples=50, suppress_health_check=[HealthCheck.too_slow])


def _blobs(n: int, seed: int, spread: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 3
    return torch.eye(3)[labels] * 2 + spread * torch.randn(n, 3, generator=generator), labels


def test_effective_rank_closed_forms() -> None:
    assert effective_rank(torch.ones(10, 4)) == pytest.approx(1.0)
    assert effective_rank(torch.eye(6) * 3) == pytest.approx(6.0)
    assert effective_rank(torch.zeros(5, 3)) == 0.0
    # Singular values 3 and 1: shares 3/4 and 1/4.
    expected = np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert effective_rank(torch.diag(torch.tensor([3.0, 1.0]))) == pytest.approx(expected)
    assert np.isnan(effective_rank(torch.tensor([[float("inf"), 0.0]])))


@STEADY
@given(st.integers(0, 1000), st.floats(0.01, 100))
def test_effective_rank_ignores_scale_rotation_and_order(seed: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(12, 5, generator=generator, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=torch.float64))[0]
    rank = effective_rank(x)
    assert 1 <= rank <= 5
    assert effective_rank(scale * x.flip(0) @ rotation) == pytest.approx(rank)


def test_feature_std_is_zero_for_a_constant_encoder() -> None:
    assert feature_std(torch.ones(8, 3)) == 0.0
    assert feature_std(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])) == pytest.approx(0.5)


def test_neighbors_agree_with_scikit_learn() -> None:
    (x, y), (q, _) = _blobs(90, 0, 0.9), _blobs(40, 1, 0.9)

    def weights(distance: np.ndarray) -> np.ndarray:
        return np.exp((1 - distance) / 0.07)

    oracle = KNeighborsClassifier(7, metric="cosine", weights=weights).fit(x.numpy(), y.numpy())
    shares = knn_predict(x, y, q, classes=4, k=7)
    np.testing.assert_allclose(shares[:, :3].numpy(), oracle.predict_proba(q.numpy()), atol=1e-4)
    assert shares[:, 3].eq(0).all()
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(40))


def test_fewer_images_than_neighbors_all_vote() -> None:
    shares = knn_predict(torch.eye(2), torch.tensor([0, 1]), torch.tensor([[1.0, 1.0]]), classes=2, k=20)
    torch.testing.assert_close(shares, torch.full((1, 2), 0.5))
    with pytest.raises(UserError, match="k = 0"):
        knn_predict(torch.eye(2), torch.tensor([0, 1]), torch.eye(2), classes=2, k=0)


def test_probe_separates_blobs_whatever_the_scale_of_the_features() -> None:
    (x, y), (test, truth) = _blobs(60, 0), _blobs(90, 1)
    scale = torch.tensor([1e4, 1.0, 1e-4])
    plain = linear_probe(x, y, test, classes=3)
    scaled = linear_probe(x * scale + 7, y, test * scale + 7, classes=3)
    assert classification_metrics(plain.outputs, truth, "abc").accuracy > 0.95
    torch.testing.assert_close(plain.outputs.exp(), scaled.outputs.exp(), atol=2e-3, rtol=0)


def test_validation_chooses_the_penalty() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.cat([_blobs(30, 0, 1.5)[0], torch.randn(30, 60, generator=generator)], dim=1)
    v = torch.cat([_blobs(150, 1, 1.5)[0], torch.randn(150, 60, generator=generator)], dim=1)
    probe = linear_probe(x, torch.arange(30) % 3, v, classes=3, val_features=v, val_labels=torch.arange(150) % 3)
    assert probe.val_merit is not None
    for strength in (1e-3, 1e-2, 1e-1, 1.0, 10.0):
        alone = linear_probe(x, torch.arange(30) % 3, v, classes=3, strengths=(strength,))
        accuracy = classification_metrics(alone.outputs, torch.arange(150) % 3, "abc").accuracy
        assert accuracy <= probe.val_merit + 1e-9
        assert (strength != probe.strength) or accuracy == pytest.approx(probe.val_merit)


@pytest.mark.parametrize("metric", TASK_METRICS["classification"])
def test_the_penalty_is_chosen_by_the_metric(metric: Any) -> None:
    """On unequal classes: the score beside the choice is the metric's, and no candidate has a better one."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(60, 30, generator=generator), (torch.arange(60) % 10 > 7).long()
    v, truth = torch.randn(80, 30, generator=generator) + 0.5, (torch.arange(80) % 10 > 7).long()
    x[:, 0] += y
    v[:, 0] += truth
    probe = linear_probe(x, y, v, classes=2, val_features=v, val_labels=truth, metric=metric)
    every = [linear_probe(x, y, v, classes=2, strengths=(one,)).outputs for one in STRENGTHS]
    scores = [getattr(classification_metrics(logits, truth, "ab"), metric) for logits in every]
    assert probe.val_merit == pytest.approx(max(scores))
    assert probe.strength == STRENGTHS[int(np.argmax(scores))]


def test_balanced_weights_raise_the_rare_class() -> None:
    """Of overlapping classes, the rare one is predicted more often."""
    generator = torch.Generator().manual_seed(0)
    y = (torch.arange(100) % 10 == 0).long()
    x = torch.randn(100, 2, generator=generator) + y[:, None]
    plain, balanced = (linear_probe(x, y, x, classes=2, balanced=one).outputs.argmax(1).sum() for one in (False, True))
    assert balanced > plain + 10


def test_a_class_without_training_image_is_never_predicted() -> None:
    x, y = _blobs(30, 0)
    keep = y != 1
    logits = linear_probe(x[keep], y[keep], x, classes=3).outputs
    assert logits[:, 1].eq(-torch.inf).all()
    with pytest.raises(UserError, match="two classes"):
        linear_probe(x[y == 0], y[y == 0], x, classes=3)
    with pytest.raises(UserError, match="not finite"):
        linear_probe(x * torch.inf, y, x, classes=3)

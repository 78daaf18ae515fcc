"""Linear probe: logistic regression on frozen features."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler

from unmask.config.metric import Metric
from unmask.errors import UserError

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Candidate values of C, the inverse strength of the L2 penalty."""
ABSENT = -1e4
"""Logit of a class that the probe never saw: finite, so that sums and exports of the network stay finite."""


class Labeled(NamedTuple):
    """Frozen features of images, (N, D), and their labels, (N, ...)."""

    features: torch.Tensor
    labels: torch.Tensor


@dataclass(frozen=True)
class Probe:
    """Outputs of the probe for the test images, the C chosen on validation, its score there (None without; more is
    better, see `merit_of`), and the linear layer from features that gives the same outputs."""

    outputs: torch.Tensor
    strength: float
    val_merit: float | None
    weight: torch.Tensor
    """float64 (K, D)."""
    bias: torch.Tensor
    """float64 (K,); `ABSENT` for classes without a training image."""


def linear_probe(
    train_features: torch.Tensor,
    train_labels: torch.Tensor,
    test_features: torch.Tensor,
    *,
    classes: int,
    val_features: torch.Tensor | None = None,
    val_labels: torch.Tensor | None = None,
    strengths: Sequence[float] = STRENGTHS,
    metric: Metric = "accuracy",
    balanced: bool = False,
) -> Probe:
    """Fit multinomial logistic regression (L2, lbfgs) on features standardized with the training images' statistics.

    C is the candidate with the highest validation score, the smallest of equals; without validation data it is the
    middle candidate. Test labels are never seen.

    Args:
        train_features: shape (M, D).
        train_labels: class indices 0..K-1, shape (M,).
        test_features: shape (N, D).
        val_features: shape (V, D), with `val_labels` of shape (V,).
        strengths: candidates for C, in rising order.
        balanced: weight each image in inverse proportion to the training images of its class.

    Returns:
        Log-probabilities of shape (N, K), -inf for classes without a training image; see `Probe`.

    Raises:
        UserError: fewer than two classes have a training image, or features are not finite.
    """
    x, y = finite_features(train_features), train_labels.cpu().numpy()
    if len(np.unique(y)) < 2:
        raise UserError("a linear probe needs training images of at least two classes")
    scaler = StandardScaler().fit(x)
    x, test = scaler.transform(x), scaler.transform(finite_features(test_features))
    if val_features is None or val_labels is None:
        strength = strengths[len(strengths) // 2]
        model = _fit(x, y, strength, balanced)
        return Probe(_scores(model, test, classes), strength, None, *_layer(model, scaler, classes))
    val, truth = scaler.transform(finite_features(val_features)), val_labels.cpu().numpy()
    models = [_fit(x, y, strength, balanced) for strength in strengths]
    scores = [_score(truth, model.predict(val), metric) for model in models]
    best = int(np.argmax(scores))
    model = models[best]
    layer = _layer(model, scaler, classes)
    return Probe(_scores(model, test, classes), strengths[best], scores[best], *layer)


def _fit(x: NDArray[np.float64], y: NDArray[np.int64], strength: float, balanced: bool) -> LogisticRegression:
    weights = "balanced" if balanced else None
    return LogisticRegression(C=strength, max_iter=5000, class_weight=weights).fit(x, y)


def _score(truth: NDArray[np.int64], predicted: NDArray[np.int64], metric: Metric) -> float:
    if metric == "accuracy":
        return float(np.mean(predicted == truth))
    if metric == "balanced_accuracy":
        return float(np.mean([np.mean(predicted[truth == label] == label) for label in np.unique(truth)]))
    return float(f1_score(truth, predicted, average="macro", zero_division=0.0))


def _scores(model: LogisticRegression, x: NDArray[np.float64], classes: int) -> torch.Tensor:
    logits = torch.full((len(x), classes), -torch.inf, dtype=torch.float64)
    logits[:, torch.as_tensor(model.classes_)] = torch.as_tensor(model.predict_log_proba(x))
    return logits


def _layer(model: LogisticRegression, scaler: StandardScaler, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight (K, D) and bias (K,) for unstandardized features: standardization is folded in."""
    known = model.classes_
    slopes, offsets = model.coef_, model.intercept_
    if len(known) == 2:  # scikit-learn keeps only the second class's logit, the first one's is 0
        slopes, offsets = np.vstack([0 * slopes, slopes]), np.append(0.0, offsets)
    slopes = slopes / scaler.scale_
    weight, bias = np.zeros((classes, slopes.shape[1])), np.full(classes, ABSENT)
    weight[known], bias[known] = slopes, offsets - slopes @ scaler.mean_
    return torch.from_numpy(weight), torch.from_numpy(bias)


def finite_features(features: torch.Tensor) -> NDArray[np.float64]:
    """Features as an array; raises UserError if one is not finite."""
    x: NDArray[np.float64] = features.detach().cpu().double().numpy()
    if not np.isfinite(x).all():
        raise UserError("the encoder's features are not finite: pretraining diverged, lower its learning rate")
    return x

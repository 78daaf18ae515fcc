"""Linear probe for several labels: a logistic regression per label on frozen features."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from unmask.evaluate.labels import UNKNOWN
from unmask.evaluate.probe import ABSENT, STRENGTHS, Probe, finite_features


def one_vs_rest_probe(
    train_features: torch.Tensor,
    labels: torch.Tensor,
    test_features: torch.Tensor,
    *,
    val_features: torch.Tensor,
    score: Callable[[torch.Tensor], float],
    strengths: Sequence[float] = STRENGTHS,
    balanced: bool = False,
) -> Probe:
    """Fit each label by logistic regression (L2) on features standardized with the training images' statistics.

    C, the same for all labels, is the candidate with the highest validation score, the smallest of equals. A label that
    all training images have, or none has, gets this as its constant prediction.

    Args:
        train_features: (M, D).
        labels: 1, 0 or `UNKNOWN`, (M, L).
        test_features: (N, D).
        val_features: (V, D).
        score: score of logits (V, L) for the validation images, more is better (`merit_of`).
        strengths: candidates for C, in rising order.
        balanced: weight images in inverse proportion to the frequency of a label.

    Returns:
        Logits (N, L); see `Probe`.

    Raises:
        UserError: features are not finite.
    """
    x, y = finite_features(train_features), labels.cpu().numpy()
    scaler = StandardScaler().fit(x)
    layers = [_fit(scaler, x, y, strength, balanced) for strength in strengths]

    def outputs(features: torch.Tensor, at: int) -> torch.Tensor:
        weight, bias = layers[at]
        return torch.from_numpy(finite_features(features) @ weight.T + bias)

    scores = [score(outputs(val_features, at)) for at in range(len(strengths))]
    best = int(np.argmax(scores))
    weight, bias = layers[best]
    return Probe(
        outputs(test_features, best), strengths[best], scores[best], torch.from_numpy(weight), torch.from_numpy(bias)
    )


def _fit(
    scaler: StandardScaler, x: NDArray[np.float64], y: NDArray[np.uint8], strength: float, balanced: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights (L, D) and biases (L,) for unstandardized features."""
    weight, bias = np.zeros((y.shape[1], x.shape[1])), np.full(y.shape[1], ABSENT)
    standard = scaler.transform(x)
    for at, column in enumerate(y.T):
        known = column != UNKNOWN
        kinds = np.unique(column[known])
        if len(kinds) == 2:
            model = LogisticRegression(C=strength, max_iter=5000, class_weight="balanced" if balanced else None)
            model.fit(standard[known], column[known])
            weight[at] = model.coef_[0] / scaler.scale_
            bias[at] = model.intercept_[0] - weight[at] @ scaler.mean_
        elif len(kinds) and kinds[0] == 1:
            bias[at] = -ABSENT
    return weight, bias

"""Linear probe for numbers: ridge regression on frozen features."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from unmask.errors import UserError
from unmask.evaluate.probe import Probe, finite_features

PENALTIES = (1e4, 1e3, 1e2, 1e1, 1.0, 1e-1)
"""Candidates for the L2 penalty on standardized features and numbers; `Probe.strength` is the inverse."""


def ridge_probe(
    train_features: torch.Tensor,
    targets: torch.Tensor,
    test_features: torch.Tensor,
    *,
    val_features: torch.Tensor,
    score: Callable[[torch.Tensor], float],
    penalties: Sequence[float] = PENALTIES,
) -> Probe:
    """Fit each number by ridge regression on features standardized with the training images' statistics.

    The penalty is the candidate with the highest validation score, the largest of equals.

    Args:
        train_features: (M, D).
        targets: standardized numbers, (M, K), NaN where unknown.
        test_features: (N, D).
        val_features: (V, D).
        score: score of outputs (V, K) for the validation images, more is better (`merit_of`).
        penalties: candidates, in falling order.

    Returns:
        Standardized numbers (N, K); see `Probe`.

    Raises:
        UserError: a number is unknown for all training images, or features are not finite.
    """
    x, y = finite_features(train_features), targets.cpu().double().numpy()
    if np.isnan(y).all(axis=0).any():
        raise UserError("a linear probe needs training images with every number")
    scaler = StandardScaler().fit(x)
    fits = [_fit(scaler.transform(x), y, penalty) for penalty in penalties]
    layers = [_layer(weight, bias, scaler) for weight, bias in fits]

    def outputs(features: torch.Tensor, at: int) -> torch.Tensor:
        weight, bias = fits[at]
        return torch.from_numpy(scaler.transform(finite_features(features)) @ weight.T + bias)

    scores = [score(outputs(val_features, at)) for at in range(len(penalties))]
    best = int(np.argmax(scores))
    return Probe(outputs(test_features, best), 1 / penalties[best], scores[best], *layers[best])


def _fit(
    x: NDArray[np.float64], y: NDArray[np.float64], penalty: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights (K, D) and biases (K,), each number fitted on the images where it is known."""
    models = [Ridge(alpha=penalty).fit(x[known], column[known]) for column in y.T if len(known := ~np.isnan(column))]
    return np.stack([one.coef_ for one in models]), np.asarray([float(one.intercept_) for one in models])


def _layer(
    weight: NDArray[np.float64], bias: NDArray[np.float64], scaler: StandardScaler
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same for unstandardized features."""
    slopes = weight / scaler.scale_
    return torch.from_numpy(slopes), torch.from_numpy(bias - slopes @ scaler.mean_)

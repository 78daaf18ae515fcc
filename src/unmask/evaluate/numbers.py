"""Scores of predicted numbers on labeled images."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

from unmask.errors import UserError
from unmask.evaluate.defined import mean_of_known, varies
from unmask.runs.scores import RegressionScores, TargetScores


def regression_scores(outputs: torch.Tensor, labels: torch.Tensor, targets: Sequence[str]) -> RegressionScores:
    """MAE, RMSE, R² and Spearman's ρ of each number over the images where it is known, and their means over numbers.

    R² is undefined (None) for equal labels, ρ also for equal predictions; a mean is over the numbers that have a value.

    Args:
        outputs: predictions in the labels' unit, (N, K).
        labels: numbers, (N, K), NaN where unknown.
        targets: the K names.

    Raises:
        UserError: there is no image, the shapes do not match, or a prediction is not a number.
    """
    predicted, truth = outputs.detach().cpu().double().numpy(), labels.detach().cpu().double().numpy()
    if not len(truth):
        raise UserError("there is no image to score: give the split at least one labeled image")
    if predicted.shape != (len(truth), len(targets)):
        raise UserError(f"numbers of shape {predicted.shape} for {len(truth)} images and {len(targets)} targets")
    if not np.isfinite(predicted).all():
        raise UserError("the predicted numbers are not finite: training diverged, lower the learning rate")
    rows = tuple(_target(name, p, t) for name, p, t in zip(targets, predicted.T, truth.T, strict=True))
    means = {name: mean_of_known([getattr(row, name) for row in rows]) for name in ("mae", "rmse", "r2", "spearman")}
    return RegressionScores(images=len(truth), per_target=rows, **means)


def _target(name: str, predicted: NDArray[np.float64], truth: NDArray[np.float64]) -> TargetScores:
    known = ~np.isnan(truth)
    guess, own = predicted[known], truth[known]
    if not len(own):
        return TargetScores(name=name, images=0, mae=None, rmse=None, r2=None, spearman=None, mean=None, std=None)
    errors = guess - own
    spread, differ = float(((own - own.mean()) ** 2).sum()), bool(varies(own))
    return TargetScores(
        name=name,
        images=len(own),
        mae=float(np.abs(errors).mean()),
        rmse=float(np.sqrt((errors**2).mean())),
        r2=1 - float((errors**2).sum()) / spread if differ and spread > 0 else None,
        spearman=_correlation(rankdata(guess), rankdata(own)),
        mean=float(own.mean()),
        std=float(own.std()) if differ else 0.0,
    )


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    one, other = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum()) / scale if scale > 0 else None

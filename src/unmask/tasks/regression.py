"""One or several numbers per image."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unmask.config.metric import SCORES, Metric
from unmask.errors import UserError
from unmask.evaluate.defined import deviation
from unmask.evaluate.influence import explained_share, mean_square_root, rank_correlation
from unmask.evaluate.numbers import regression_scores
from unmask.evaluate.probe import Labeled, Probe
from unmask.evaluate.ridge import ridge_probe
from unmask.runs.scores import RegressionScores, merit_of
from unmask.tasks.task import Task

_STRATA, _PER_STRATUM = 10, 10


@dataclass(frozen=True, kw_only=True)
class Regression(Task):
    """Labels are numbers, float64 (N, K), NaN where unknown; so are outputs. See `Task`."""

    name: Literal["regression"] = "regression"
    title: ClassVar = "Regression of images"
    hub_tag: ClassVar = None
    averages: ClassVar = True
    targets: tuple[str, ...]
    """Names of the numbers."""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    """From the labels of the training images: the network outputs (number - mean) / std. Empty before training."""

    @property
    def names(self) -> tuple[str, ...]:
        """The targets."""
        return self.targets

    @property
    def metric(self) -> Metric:
        """MAE for one number; R² for several, whose units may differ."""
        return "mae" if len(self.targets) == 1 else "r2"

    def about_outputs(self) -> list[str]:
        """Mean and deviation of the numbers."""
        scales = zip(self.targets, self.std, self.mean, strict=True)
        numbers = ", ".join(f"{name} = {std:.9g} x output + {mean:.9g}" for name, std, mean in scales)
        return [f"numbers of the weights' outputs: {numbers}; graphs give the numbers themselves"]

    def smallest_effect(self, metric: Metric, labels: NDArray[np.generic]) -> float:
        """A point for R² and correlations; for errors a fiftieth of the labels' standard deviation."""
        if not SCORES[metric].lower_is_better:
            return 0.01
        return float(deviation(labels.astype(np.float64)).mean()) / 50 or 0.01

    def known(self, labels: NDArray[np.generic]) -> NDArray[np.bool_]:
        """See `Task`: one of the numbers is enough."""
        return np.asarray(~np.isnan(labels.astype(np.float64)).all(axis=1))

    def strata(self, labels: NDArray[np.generic], most: int | None = None) -> NDArray[np.int64]:
        """Up to ten quantiles of the mean of the standardized numbers, each of at least ten images."""
        values, known = labels.astype(np.float64), self.known(labels)
        strata = np.full(len(values), -1, np.int64)
        if not known.any():
            return strata
        own = values[known]
        spread = deviation(own)
        level = np.nanmean((own - np.nanmean(own, axis=0)) / np.where(spread > 0, spread, 1.0), axis=1)
        count = max(1, min(_STRATA, len(level) // _PER_STRATUM, most or _STRATA))
        edges = np.unique(np.quantile(level, np.arange(1, count) / count))
        _, strata[known] = np.unique(np.searchsorted(edges, level, side="right"), return_inverse=True)
        return strata

    def fitted(self, labels: Tensor) -> Self:
        """With mean and deviation of the labels; the deviation of equal labels counts as 1.

        Raises:
            UserError: one of the numbers is unknown for all images.
        """
        values = labels.double().numpy()
        unknown = [name for name, none in zip(self.targets, np.isnan(values).all(axis=0), strict=True) if none]
        if unknown:
            raise UserError(f"data: {unknown[0]} is unknown for all {len(values)} labeled images; label more of them")
        mean, std = np.nanmean(values, axis=0).tolist(), deviation(values).tolist()
        return replace(self, mean=tuple(mean), std=tuple(one or 1.0 for one in std))

    def target(self, labels: Tensor) -> Tensor:
        """Standardized numbers."""
        mean, std = self._scale(labels.device)
        return ((labels.double() - mean) / std).float()

    def loss(self, outputs: Tensor, target: Tensor, *, smoothing: float, balance: Tensor | None) -> Tensor:
        """Smooth L1 (Girshick 2015) of standardized numbers, the mean over an image's known numbers."""
        known = ~target.isnan()
        each = F.smooth_l1_loss(outputs.float(), target.nan_to_num(), reduction="none")
        return (each.masked_fill(~known, 0.0).sum(1) / known.sum(1).clamp(min=1)).sum()

    def readout(self, raw: Tensor) -> Tensor:
        """Numbers in their own unit, float64."""
        mean, std = self._scale(raw.device)
        return raw.double() * std + mean

    def scores(self, outputs: Tensor, labels: Tensor) -> RegressionScores:
        """See `regression_scores`."""
        return regression_scores(outputs, labels, self.targets)

    def contributions(
        self, judged: NDArray[np.generic], labels: NDArray[np.generic], metric: Metric
    ) -> NDArray[np.float64]:
        """The mean over several numbers, each over the images where it is known."""
        outputs, truth = judged.astype(np.float64), labels.astype(np.float64)
        values = np.full(len(outputs), np.nan)
        read = ~np.isnan(outputs).any(axis=1)
        columns = [_influences(o, t, metric) for o, t in zip(outputs[read].T, truth[read].T, strict=True)]
        values[read] = np.mean([one for one in columns if one is not None], axis=0)
        return values

    def can_probe(self, labels: Tensor) -> bool:
        """Whether each number is known for some image."""
        return not bool(labels.isnan().all(0).any())

    def probe(self, known: Labeled, features: Tensor, *, val: Labeled, metric: Metric, balanced: bool = False) -> Probe:
        """Ridge regression, see `ridge_probe`."""

        def score(raw: Tensor) -> float:
            return merit_of(self.scores(self.readout(raw), val.labels), metric)

        return ridge_probe(known.features, self.target(known.labels), features, val_features=val.features, score=score)

    def _scale(self, device: torch.device) -> tuple[Tensor, Tensor]:
        count = len(self.targets)
        mean, std = self.mean or (0.0,) * count, self.std or (1.0,) * count
        return torch.tensor(mean, dtype=torch.float64, device=device), torch.tensor(
            std, dtype=torch.float64, device=device
        )


def _influences(outputs: NDArray[np.float64], truth: NDArray[np.float64], metric: Metric) -> NDArray[np.float64] | None:
    """One value per image of one number, whose mean over all images is the metric over those where it is known."""
    known = ~np.isnan(truth)
    errors = outputs[known] - truth[known]
    if metric == "mae":
        own = np.abs(errors)
    elif metric == "rmse":
        own = mean_square_root(errors)
    else:
        own = (
            explained_share(truth[known], errors) if metric == "r2" else rank_correlation(truth[known], outputs[known])
        )
    if not len(own) or np.isnan(own).any():
        return None
    values = np.full(len(truth), own.mean())
    values[known] += (own - own.mean()) * len(truth) / len(own)
    return values

"""Several labels per image, each of which applies or does not."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unmask.config.metric import Metric
from unmask.evaluate.influence import area, average_precision, f1_of
from unmask.evaluate.labels import UNKNOWN, multilabel_scores
from unmask.evaluate.one_vs_rest import one_vs_rest_probe
from unmask.evaluate.probe import Labeled, Probe
from unmask.runs.scores import MultilabelScores, merit_of
from unmask.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class Multilabel(Task):
    """Labels are 1, 0 or `UNKNOWN`, uint8 (N, L); outputs are logits (N, L). See `Task`."""

    name: Literal["multilabel"] = "multilabel"
    title: ClassVar = "Image classifier of several labels"
    hub_tag: ClassVar = "image-classification"
    averages: ClassVar = True
    labels: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The labels."""
        return self.labels

    @property
    def metric(self) -> Metric:
        """Mean average precision."""
        return "mean_average_precision"

    def about_outputs(self) -> list[str]:
        """The labels, and the meaning of their logits."""
        return [f"labels: {', '.join(self.labels)}; a sigmoid turns logits into probabilities"]

    def known(self, labels: NDArray[np.generic]) -> NDArray[np.bool_]:
        """See `Task`: one known label is enough."""
        return (labels.astype(np.int64) != UNKNOWN).any(axis=1)

    def strata(self, labels: NDArray[np.generic], most: int | None = None) -> NDArray[np.int64]:
        """By the rarest label that applies, as in iterative stratification (Sechidis et al. 2011).

        Repeatedly, the label that applies to the fewest remaining images takes them; those without any label come last.
        If fewer strata are allowed, the largest ones are merged.
        """
        own = labels.astype(np.int64) == 1
        strata = np.where(self.known(labels), len(self.labels), -1)
        left = own.any(axis=1)
        while left.any():
            counts = own[left].sum(axis=0)
            rarest = int(np.where(counts > 0, counts, len(own) + 1).argmin())
            taken = left & own[:, rarest]
            strata[taken], left = rarest, left & ~taken
        return _merged(strata, most)

    def target(self, labels: Tensor) -> Tensor:
        """1 where a label applies, 0 where it does not, NaN where unknown."""
        return torch.where(labels == UNKNOWN, torch.nan, labels.float())

    def balance(self, labels: Tensor) -> Tensor:
        """Weight of an image that has a label: images without it over images with it, 1 if there are none. [L]"""
        with_it, without = (labels == 1).sum(0).float(), (labels == 0).sum(0).float()
        return torch.where((with_it > 0) & (without > 0), without / with_it.clamp(min=1), 1.0)

    def loss(self, outputs: Tensor, target: Tensor, *, smoothing: float, balance: Tensor | None) -> Tensor:
        """Binary cross-entropy with soft targets, the mean over an image's known labels."""
        known = ~target.isnan()
        soft = target.nan_to_num() * (1 - smoothing) + smoothing / 2
        each = F.binary_cross_entropy_with_logits(outputs.float(), soft, pos_weight=balance, reduction="none")
        return (each.masked_fill(~known, 0.0).sum(1) / known.sum(1).clamp(min=1)).sum()

    def scores(self, outputs: Tensor, labels: Tensor) -> MultilabelScores:
        """See `multilabel_scores`."""
        return multilabel_scores(outputs, labels, self.labels)

    def contributions(
        self, judged: NDArray[np.generic], labels: NDArray[np.generic], metric: Metric
    ) -> NDArray[np.float64]:
        """The mean over labels, each over the images where it is known; micro scores over all labels at once."""
        outputs, truth = judged.astype(np.float64), labels.astype(np.int64)
        values = np.full(len(outputs), np.nan)
        read = ~np.isnan(outputs).any(axis=1)
        outputs, truth = outputs[read], truth[read]
        if metric in ("micro_auroc", "micro_f1"):
            image, label = np.nonzero(truth != UNKNOWN)
            found = _values(outputs[image, label], truth[image, label] == 1, image, len(truth), metric)
            values[read] = found
            return values
        columns = []
        for own, right in zip(outputs.T, truth.T, strict=True):
            image = np.flatnonzero(right != UNKNOWN)
            if len(image):
                columns.append(_values(own[image], right[image] == 1, image, len(truth), metric))
        defined = [one for one in columns if not np.isnan(one).any()]
        values[read] = np.mean(defined, axis=0) if defined else np.nan
        return values

    def predictions(self, kept: Tensor) -> Tensor:
        """Probabilities of the labels."""
        return kept.double().sigmoid()

    def probe(self, known: Labeled, features: Tensor, *, val: Labeled, metric: Metric, balanced: bool = False) -> Probe:
        """A logistic regression per label, see `one_vs_rest_probe`."""

        def score(logits: Tensor) -> float:
            return merit_of(self.scores(logits, val.labels), metric)

        return one_vs_rest_probe(*known, features, val_features=val.features, score=score, balanced=balanced)


def _values(
    scores: NDArray[np.float64], positive: NDArray[np.bool_], image: NDArray[np.int64], images: int, metric: Metric
) -> NDArray[np.float64]:
    """One value per image of the metric of entries (m,), each from one image; their mean is the metric."""
    if metric in ("macro_auroc", "micro_auroc"):
        if positive.all() or not positive.any():
            return np.full(images, np.nan)
        return area(scores, positive, image, images)
    if metric in ("macro_f1", "micro_f1"):
        return f1_of(scores > 0, positive, image, images)
    if positive.all() or not positive.any():
        return np.full(images, np.nan)
    own = average_precision(scores, positive)
    values = np.full(images, own.mean())
    values[image] += (own - own.mean()) * images / len(own)
    return values


def _merged(strata: NDArray[np.int64], most: int | None) -> NDArray[np.int64]:
    """Strata numbered from 0; if fewer are allowed, the largest ones are merged."""
    known = strata >= 0
    names, at, counts = np.unique(strata[known], return_inverse=True, return_counts=True)
    if most is not None and len(names) > most:
        order = np.argsort(np.argsort(counts, kind="stable"), kind="stable")  # 0 for the smallest
        at = np.minimum(order, max(most, 1) - 1)[at]
    merged = np.full(len(strata), -1, np.int64)
    merged[known] = at
    return merged

"""Scores of a classifier on labeled images."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.metrics import f1_score, precision_recall_fscore_support

from unmask.errors import UserError
from unmask.evaluate.defined import or_none
from unmask.runs.scores import ClassificationScores, ClassScores

_AT_ONCE = 64
"""Number of classes whose scores are ranked together."""


def classification_metrics(logits: torch.Tensor, labels: torch.Tensor, classes: Sequence[str]) -> ClassificationScores:
    """Accuracy, balanced accuracy, macro-F1, AUROC, a table of classes and the confusion matrix.

    Classes without a labeled image have no recall (None) and do not count in the balanced accuracy. Macro-F1 is over
    the classes that are labeled or predicted (scikit-learn's convention). AUROC is one class against the rest, its
    scores the softmax of the logits, averaged over the classes that have both kinds of images; None if there is none.

    Args:
        logits: scores, shape (N, K); -inf stands for a class that is never predicted.
        labels: class indices 0..K-1, shape (N,).
        classes: the K names.

    Raises:
        UserError: there is no image, the shapes do not match, or a score is not a number.
    """
    truth, probabilities = _checked(logits, labels, len(classes))
    # The first of equal scores wins, as in torch.argmax on the logits themselves.
    predicted = logits.detach().cpu().argmax(dim=1).numpy()
    everything = np.arange(len(classes))
    precision, recall, _, support = precision_recall_fscore_support(
        truth, predicted, labels=everything, zero_division=np.nan
    )
    return ClassificationScores(
        accuracy=float(np.mean(predicted == truth)),
        balanced_accuracy=float(np.mean(recall[support > 0])),
        macro_f1=float(f1_score(truth, predicted, average="macro", zero_division=0.0)),
        auroc=_macro_auroc(truth, probabilities),
        per_class=tuple(
            ClassScores(name=name, recall=or_none(recall[i]), precision=or_none(precision[i]), images=int(support[i]))
            for i, name in enumerate(classes)
        ),
        confusion=_counted(truth, predicted),
    )


def _checked(logits: torch.Tensor, labels: torch.Tensor, k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    if labels.numel() == 0:
        raise UserError("there is no image to score: give the split at least one labeled image")
    if logits.shape != (labels.numel(), k):
        raise UserError(f"scores of shape {tuple(logits.shape)} for {labels.numel()} labels and {k} classes")
    probabilities = torch.softmax(logits.detach().cpu().double(), dim=1).numpy()
    if np.isnan(probabilities).any():
        raise UserError("the classifier's scores are not numbers: training diverged, lower the learning rate")
    truth = labels.detach().cpu().numpy().astype(np.int64)
    if truth.min() < 0 or truth.max() >= k:
        raise UserError(f"a label is outside 0..{k - 1}: the {k} class names do not fit the labels")
    return truth, probabilities


def _counted(truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> tuple[tuple[int, int, int], ...]:
    """The nonzero entries of the confusion matrix: it has K² entries for K classes, at most N of them nonzero."""
    pairs, counts = np.unique(np.stack([truth, predicted], axis=1), axis=0, return_counts=True)
    return tuple((int(t), int(p), int(n)) for (t, p), n in zip(pairs, counts, strict=True))


def _macro_auroc(truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float | None:
    """Mean over classes of P(score of an image of the class > score of another) + P(equal) / 2.

    By the ranks of a class's scores, U = Σ ranks of its images - n (n + 1) / 2, AUROC = U / (n (N - n)) (Mann and
    Whitney 1947), for a few classes at a time.
    """
    images = np.bincount(truth, minlength=probabilities.shape[1])
    defined = np.flatnonzero((images > 0) & (images < len(truth)))
    areas = np.empty(len(defined))
    for start in range(0, len(defined), _AT_ONCE):
        some = defined[start : start + _AT_ONCE]
        own = truth[:, None] == some
        ranks = (rankdata(probabilities[:, some], axis=0) * own).sum(axis=0)
        n = images[some]
        areas[start : start + _AT_ONCE] = (ranks - n * (n + 1) / 2) / (n * (len(truth) - n))
    return float(areas.mean()) if len(areas) else None

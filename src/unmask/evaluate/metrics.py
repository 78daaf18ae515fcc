"""Scores of a classifier on labeled images."""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support, roc_auc_score

from unmask.errors import UserError
from unmask.runs.records import ClassScores, Scores


def classification_metrics(logits: torch.Tensor, labels: torch.Tensor, classes: Sequence[str]) -> Scores:
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
    return Scores(
        accuracy=float(np.mean(predicted == truth)),
        balanced_accuracy=float(np.mean(recall[support > 0])),
        macro_f1=float(f1_score(truth, predicted, average="macro", zero_division=0.0)),
        auroc=_macro_auroc(truth, probabilities),
        per_class=tuple(
            ClassScores(name=name, recall=_number(recall[i]), precision=_number(precision[i]), images=int(support[i]))
            for i, name in enumerate(classes)
        ),
        confusion=tuple(map(tuple, confusion_matrix(truth, predicted, labels=everything).tolist())),
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


def _macro_auroc(truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float | None:
    areas = []
    with warnings.catch_warnings():
        warnings.simplefilter("error", UndefinedMetricWarning)
        for i in range(probabilities.shape[1]):
            positive = truth == i
            if positive.any() and not positive.all():
                areas.append(float(roc_auc_score(positive, probabilities[:, i])))
    return float(np.mean(areas)) if areas else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)

"""Scores of several yes-or-no labels on labeled images."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from unmask.errors import UserError
from unmask.evaluate.defined import mean_of_known
from unmask.runs.scores import LabelScores, MultilabelScores

UNKNOWN = 255
"""Value in place of 0 or 1 if it is unknown whether a label applies."""


def multilabel_scores(logits: torch.Tensor, labels: torch.Tensor, names: Sequence[str]) -> MultilabelScores:
    """AUROC, average precision and F1 of each label over the images where it is known, means, and all labels as one.

    A label counts as predicted if its logit is above 0. AUROC and average precision are undefined (None) without
    images of both kinds; their means are over the other labels. F1 is 0 for a label that is neither true nor predicted.

    Args:
        logits: (N, L).
        labels: 1 where a label applies, 0 where it does not, or `UNKNOWN`, (N, L).
        names: the L labels.

    Raises:
        UserError: there is no image, the shapes do not match, or a logit is not a number.
    """
    scores, truth = logits.detach().cpu().double().numpy(), labels.detach().cpu().numpy()
    if not len(truth):
        raise UserError("there is no image to score: give the split at least one labeled image")
    if scores.shape != (len(truth), len(names)) or truth.shape != scores.shape:
        raise UserError(f"scores of shape {scores.shape} for {len(truth)} images and {len(names)} labels")
    if np.isnan(scores).any():
        raise UserError("the scores of the labels are not numbers: training diverged, lower the learning rate")
    rows = tuple(_label(name, s, t) for name, s, t in zip(names, scores.T, truth.T, strict=True))
    known = truth != UNKNOWN
    flat, right = scores[known], truth[known]
    return MultilabelScores(
        images=len(truth),
        mean_average_precision=mean_of_known([row.average_precision for row in rows]),
        macro_auroc=mean_of_known([row.auroc for row in rows]),
        micro_auroc=float(roc_auc_score(right, flat)) if len(np.unique(right)) == 2 else None,
        macro_f1=float(np.mean([row.f1 for row in rows if row.images])) if any(row.images for row in rows) else 0.0,
        micro_f1=float(f1_score(right, flat > 0, zero_division=0.0)),
        per_label=rows,
    )


def _label(name: str, scores: NDArray[np.float64], truth: NDArray[np.uint8]) -> LabelScores:
    known = truth != UNKNOWN
    own, right = scores[known], truth[known]
    both = len(np.unique(right)) == 2
    return LabelScores(
        name=name,
        images=len(own),
        positives=int(right.sum()),
        auroc=float(roc_auc_score(right, own)) if both else None,
        average_precision=float(average_precision_score(right, own)) if both else None,
        f1=float(f1_score(right, own > 0, zero_division=0.0)) if len(own) else 0.0,
    )

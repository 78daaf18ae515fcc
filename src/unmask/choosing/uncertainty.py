"""How unsure a classifier is about each image of a pool: later rounds choose where it errs."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unmask.data.imageset import ImageSet
from unmask.deploy.images import load_as_trained, require_numbers
from unmask.deploy.predict import logits
from unmask.deploy.trained import Trained, require_classifier
from unmask.errors import UserError
from unmask.tasks.classification import Classification
from unmask.tasks.multilabel import Multilabel

LEAST = 0.05
"""Least weight of an image, however sure the classifier is about it: it may be wrong."""


def uncertainty(trained: Trained, data: str, images: ImageSet, *, progress: bool = False) -> NDArray[np.float64]:
    """How unsure a run is about each image, at least 0.05: (N,); 1 about one that it cannot read. See `doubts`.

    Args:
        trained: a fine-tuned run, one from scratch, or a comparison, for classes or several labels.
        data: location of the images; they are read again in the form that this run takes.
        images: the pool, by ids of that data.

    Raises:
        UserError: a run of another kind, or images that it cannot take.
    """
    task = require_doubts(trained)
    found = load_as_trained(trained, data, on_bad_file="skip", progress=progress).readable
    there = torch.isin(images.ids, found.ids).nonzero()[:, 0]
    outputs = logits(trained, found.select(torch.searchsorted(found.ids, images.ids[there])), show=progress)
    require_numbers(outputs, "the scores")
    unsure = torch.ones(len(images), dtype=torch.float64)
    unsure[there[outputs.rows]] = doubts(task, outputs.values)
    return unsure.clamp_min(LEAST).numpy()


def doubts(task: Classification | Multilabel, logits: Tensor) -> Tensor:
    """1 - the margin between the two best classes, or for several labels the smallest margin between yes and no; from
    logits (N, K).

    Returns:
        float64 (N,), from 0, sure, to 1.
    """
    if isinstance(task, Multilabel):
        return 1 - (2 * logits.double().sigmoid() - 1).abs().amin(1)
    best = logits.double().softmax(1).topk(2).values
    return 1 - (best[:, 0] - best[:, 1])


def require_doubts(trained: Trained) -> Classification | Multilabel:
    """The task of a run whose outputs show uncertainty; raises `UserError` for one without."""
    require_classifier(trained)
    task = trained.card.task
    if isinstance(task, Classification | Multilabel):
        return task
    name = "" if task is None else task.name
    raise UserError(f"model: {trained.folder} is a run of {name}, whose outputs do not show uncertainty: leave it out")

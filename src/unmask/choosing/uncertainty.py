"""How unsure a classifier is of each image of a pool: later rounds look where it errs."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from unmask.data.imageset import ImageSet
from unmask.deploy.images import load_as_trained, require_numbers
from unmask.deploy.predict import logits
from unmask.deploy.trained import read_trained, require_classifier

LEAST = 0.05
"""What an image counts at least, however sure the classifier is of it: it may be wrong."""


def uncertainty(run: Path, data: str, images: ImageSet, *, progress: bool = False) -> NDArray[np.float64]:
    """1 - (largest - second largest probability) of each image, at least 0.05: (N,).

    Args:
        run: a fine-tuned run, one from scratch, or a comparison.
        data: where the images are; they are read again, as this run takes them.
        images: the pool, by ids of that data.
        progress: show a bar.

    Raises:
        UserError: a run without a classifier, or images that it cannot take.
    """
    trained = read_trained(run)
    require_classifier(trained)
    found = load_as_trained(trained, data, on_bad_file="skip", progress=progress).readable
    outputs = logits(trained, found.select(torch.searchsorted(found.ids, images.ids)), show=progress)
    require_numbers(outputs, "the scores")
    best = outputs.values.double().softmax(1).topk(2).values
    unsure = torch.ones(len(images), dtype=torch.float64)
    unsure[outputs.rows] = 1 - (best[:, 0] - best[:, 1])
    return unsure.clamp_min(LEAST).numpy()

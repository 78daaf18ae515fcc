"""Half of the validation images in place of the test set, for choices that must not use the test set."""

from dataclasses import replace

import numpy as np
import torch

from unmask.data.load import Dataset
from unmask.data.splits import draw
from unmask.errors import UserError


def halve_validation(data: Dataset, seed: int) -> Dataset:
    """Use about half of the validation images as the test set; the others stay validation. The real test is dropped.

    Drawn class by class; images of one group stay together.

    Raises:
        UserError: there are no validation images, or too few groups for two halves.
    """
    if data.val is None:
        raise UserError("evaluate_on = 'val': the data have no validation images")
    every = np.arange(len(data.val))
    assert data.task is not None
    drawn = draw(every, data.task.strata(data.val.labels.numpy()), data.groups_of(data.val), 0.5, 1, seed, "halves")
    if not len(drawn):
        raise UserError("evaluate_on = 'val': no class has two validation images (or groups) to split: give more")
    kept, taken = torch.from_numpy(np.setdiff1d(every, drawn)), torch.from_numpy(drawn)
    return replace(data, val=data.val.select(kept), tests={"test": data.val.select(taken)})

"""Build an encoder with a head and random weights, and choose its labeled training images."""

import torch
from torch import nn

from unmask.config import ClassifyConfig
from unmask.config.budget import is_chosen, parse_budget
from unmask.data.imageset import ImageSet
from unmask.data.labeled import draw_labeled
from unmask.data.load import Dataset
from unmask.errors import UserError
from unmask.runs.read import read_record
from unmask.runs.trial_records import ChosenIds
from unmask.tasks.kinds import AnyTask
from unmask.tasks.task import can_be_learned


def require_task(config: ClassifyConfig, data: Dataset) -> AnyTask:
    """Return the task of the images.

    Raises:
        UserError: they have no labels, or too few distinct ones.
    """
    if data.train is None or data.task is None or not can_be_learned(data.task):
        found = 0 if data.task is None else len(data.task.names)
        raise UserError(f"data: {config.data.data} has {found} labeled classes; training needs at least 2")
    return data.task


def build_classifier(config: ClassifyConfig, data: Dataset) -> nn.Module:
    """Encoder and head with weights drawn from the seed; raises what `require_task` raises."""
    format = data.format
    return require_task(config, data).network(
        config.encoder, channels=format.channels, size=format.size, seed=config.seed
    )


def labeled_subset(config: ClassifyConfig, data: Dataset) -> ImageSet:
    """The labeled training images of `budget`, nested over budgets, or all of them.

    Raises:
        UserError: there are no labels, or too few images for the budget.
    """
    require_task(config, data)
    assert data.train is not None
    if config.budget is None:
        return data.train
    if config.chosen_images is not None and is_chosen(config.budget):
        ids = read_record(ChosenIds, config.chosen_images.file).ids[: int(parse_budget(config.budget).value)]
        return data.train.select(torch.isin(data.train.ids, torch.tensor(ids)).nonzero().flatten())
    budgets = list(dict.fromkeys((config.budget, *config.nested_budgets)))
    return data.train.select(draw_labeled(data, budgets, config.subset_seed, config.subset_index)[config.budget])

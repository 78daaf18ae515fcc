"""An encoder with a head, with its start weights drawn, and the labeled images that it is trained on."""

from torch import nn

from unmask.config import ClassifyConfig
from unmask.data.imageset import ImageSet
from unmask.data.load import Dataset
from unmask.data.subsets import nested_subsets
from unmask.encoders.build import build_model
from unmask.errors import UserError


def build_classifier(config: ClassifyConfig, data: Dataset) -> nn.Module:
    """Encoder and head with weights drawn from the seed."""
    return build_model(
        config.encoder,
        in_chans=data.format.channels,
        image_size=data.format.size,
        num_classes=len(data.classes),
        seed=config.seed,
    )


def labeled_subset(config: ClassifyConfig, data: Dataset) -> ImageSet:
    """The labeled training images: `budget` per class, nested over budgets, or all of them.

    Raises:
        UserError: there are fewer than two classes, or too few images of one.
    """
    if data.train is None or len(data.classes) < 2:
        raise UserError(f"data: {config.data.data} has {len(data.classes)} labeled classes; training needs at least 2")
    if config.budget is None:
        return data.train
    budgets = sorted({config.budget, *config.nested_budgets})
    drawn = nested_subsets(
        data.train.labels, budgets, config.subset_seed, data.groups, data.classes, config.subset_index
    )
    return data.train.select(drawn[config.budget])

"""An encoder with a head, with its start weights drawn, and the labeled images that it is trained on."""

import torch
from torch import Tensor, nn

from unmask.config import ClassifyConfig
from unmask.config.budget import is_chosen, parse_budget
from unmask.data.imageset import ImageSet
from unmask.data.load import Dataset
from unmask.data.subsets import nested_subsets
from unmask.encoders.build import build_model
from unmask.errors import UserError
from unmask.runs.comparison_records import ChosenIds
from unmask.runs.read import read_record
from unmask.weights.network import head_names


def build_classifier(config: ClassifyConfig, data: Dataset) -> nn.Module:
    """Encoder and head with weights drawn from the seed."""
    model = build_model(
        config.encoder,
        in_chans=data.format.channels,
        image_size=data.format.size,
        num_classes=len(data.classes),
        seed=config.seed,
    )
    _shrink_head(model)
    return model


@torch.no_grad()
def _shrink_head(model: nn.Module) -> None:
    """Scale a head whose weights deviate by more than 1 / √inputs to 1 / √(3 inputs), as torch draws linear layers.

    timm draws some heads for a thousand classes: an EfficientNet's within 1 / √classes, which for seven classes gives
    logits of ±6 that a few hundred steps do not unlearn.
    """
    weights = dict(model.named_parameters())
    for weight in (weights[name] for name in head_names(model)):
        if weight.ndim > 1:
            inputs, deviation = weight[0].numel(), float(weight.square().mean().sqrt())
            if deviation > inputs**-0.5:
                weight.mul_((3 * inputs) ** -0.5 / deviation)


def linear_heads(model: nn.Module) -> list[nn.Linear | nn.Conv2d]:
    """The layers from pooled features to logits; a distilled ViT has two, whose mean it gives.

    Raises:
        UserError: what makes logits of the features is not one linear layer.
    """
    found = model.get_classifier()  # type: ignore[operator]
    heads = list(found) if isinstance(found, tuple | list) else [found]
    if not all(isinstance(head, nn.Linear | nn.Conv2d) for head in heads):
        raise UserError(
            f"keep: this encoder's head is a {type(heads[0]).__name__}, which a linear probe cannot replace; "
            '`keep="none"` keeps no network'
        )
    return heads


@torch.no_grad()
def set_head(model: nn.Module, weight: Tensor, bias: Tensor) -> None:
    """Make logits = weight (K, D) · pooled features + bias (K,); raises what `linear_heads` raises."""
    for head in linear_heads(model):
        head.weight.copy_(weight.view_as(head.weight))
        assert head.bias is not None
        head.bias.copy_(bias)


def labeled_subset(config: ClassifyConfig, data: Dataset) -> ImageSet:
    """The labeled training images of `budget`, nested over budgets, or all of them.

    Raises:
        UserError: there are fewer than two classes, or too few images of one.
    """
    if data.train is None or len(data.classes) < 2:
        raise UserError(f"data: {config.data.data} has {len(data.classes)} labeled classes; training needs at least 2")
    if config.budget is None:
        return data.train
    if config.chosen_images is not None and is_chosen(config.budget):
        ids = read_record(ChosenIds, config.chosen_images.file).ids[: int(parse_budget(config.budget).value)]
        return data.train.select(torch.isin(data.train.ids, torch.tensor(ids)).nonzero().flatten())
    budgets = list(dict.fromkeys((config.budget, *config.nested_budgets)))
    drawn = nested_subsets(
        data.train.labels, budgets, config.subset_seed, data.groups, data.classes, config.subset_index
    )
    return data.train.select(drawn[config.budget])

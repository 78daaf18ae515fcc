"""The head of a timm-like model: its parameters, and a linear one's weights."""

from typing import Any

import torch
from torch import Tensor, nn

from unmask.errors import UserError


def encoder_of(model: nn.Module) -> Any:
    """The part of a network that encoder weights fit: the timm-like model itself, or the one within a segmenter."""
    inner = getattr(model, "encoder", None)
    return inner if isinstance(inner, nn.Module) and hasattr(model, "head") else model


def head_names(model: nn.Module) -> set[str]:
    """Names of the classification head's own parameters in a timm-like model; some have several heads."""
    classifier: Any = getattr(model, "get_classifier", None)
    found = classifier() if classifier is not None else None
    heads = found if isinstance(found, tuple | list) else [found]
    members = {id(p) for head in heads if isinstance(head, nn.Module) for p in head.parameters()}
    return {name for name, p in model.named_parameters() if id(p) in members}


def linear_heads(model: nn.Module) -> list[nn.Linear | nn.Conv2d]:
    """The layers from pooled features to logits; a distilled ViT has two and returns their mean.

    Raises:
        UserError: logits are not computed from the features by one linear layer.
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

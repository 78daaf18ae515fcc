"""An encoder with a linear head on its pooled features."""

import torch
from torch import nn

from unmask.config import EncoderConfig


def encoder_with_head(
    encoder: EncoderConfig, outputs: int, *, channels: int, size: tuple[int, int], seed: int, plain: bool = False
) -> nn.Module:
    """Encoder and head with weights drawn from the seed; see `Task.network`."""
    from unmask.encoders.build import build_model  # imports timm, which reading labels does not need

    model = build_model(encoder, in_chans=channels, image_size=size, num_classes=outputs, seed=seed)
    if not plain:
        _shrink_head(model)
    return model


@torch.no_grad()
def _shrink_head(model: nn.Module) -> None:
    """Scale a head whose weights have a deviation above 1 / √inputs to 1 / √(3 inputs), as torch draws linear layers.

    timm draws some heads for a thousand classes: an EfficientNet's within 1 / √classes, which for seven classes gives
    logits of ±6 that a few hundred steps do not unlearn.
    """
    from unmask.encoders.heads import head_names

    weights = dict(model.named_parameters())
    for weight in (weights[name] for name in head_names(model)):
        if weight.ndim > 1:
            inputs, deviation = weight[0].numel(), float(weight.square().mean().sqrt())
            if deviation > inputs**-0.5:
                weight.mul_((3 * inputs) ** -0.5 / deviation)

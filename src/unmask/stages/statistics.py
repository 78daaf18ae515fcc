"""BatchNorm statistics re-estimated on whole images, so that a frozen encoder sees what it will meet in use."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from unmask.data.imageset import ImageSet, batches


def batchnorm_layers(model: nn.Module) -> list[_BatchNorm]:
    """All BatchNorm layers that keep running statistics, timm's BatchNormAct included."""
    return [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]


@torch.no_grad()
def reestimate_batchnorm(
    model: nn.Module, images: ImageSet, *, mean: tuple[float, ...], std: tuple[float, ...], limit: int = 2048
) -> int:
    """Replace running statistics by the averages over up to `limit` unmasked images. Returns how many were used.

    In pretraining the statistics come from masked images. Weights are untouched; a model without BatchNorm too.
    """
    layers = batchnorm_layers(model)
    if not layers:
        return 0
    modes = [(module, module.training) for module in model.modules()]
    momenta = [layer.momentum for layer in layers]
    model.eval()
    for layer in layers:
        layer.train()
        layer.reset_running_stats()
        layer.momentum = None
    used = evenly(images, limit)
    device = next(model.parameters()).device
    for batch in batches(images, used, 256, mean=mean, std=std):
        if len(batch.ids) > 1:
            model(batch.images.to(device))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    for module, training in modes:
        module.training = training
    return len(used)


def evenly(images: ImageSet, limit: int) -> Tensor:
    """Up to `limit` indices spread evenly over the set: the same ones every time."""
    return torch.linspace(0, len(images) - 1, min(limit, len(images))).round().long()

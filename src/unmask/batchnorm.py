"""BatchNorm statistics re-estimated on whole images, so that a frozen encoder sees what it will meet in use."""

import math

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from unmask.data.imageset import ImageSet
from unmask.encoders.stages import evaluating
from unmask.randomness import permutation


def batchnorm_layers(model: nn.Module) -> list[_BatchNorm]:
    """All BatchNorm layers that keep running statistics, timm's BatchNormAct included."""
    return [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]


@torch.no_grad()
def reestimate_batchnorm(model: nn.Module, images: ImageSet, *, limit: int = 2048) -> int:
    """Replace running statistics by averages over up to `limit` unmasked images. Returns how many were used.

    In pretraining the statistics come from masked images. Weights, and models without BatchNorm, stay unchanged.
    Batches are drawn at random (the same ones every time) and nearly equal in size: a layer's variance is the mean of
    its variances within batches, which would miss the variance between classes if images came class by class.
    """
    layers = batchnorm_layers(model)
    if not layers or len(images) < 2:
        return 0
    used = images.evenly(limit)
    used = used[torch.from_numpy(permutation(0, "statistics", 0, len(used)))]
    size = math.ceil(len(used) / math.ceil(len(used) / images.at_once))
    momenta = [layer.momentum for layer in layers]
    device = next(model.parameters()).device
    with evaluating(model):
        for layer in layers:
            layer.train()
            layer.reset_running_stats()
            layer.momentum = None
        for batch in images.batches(used, size):
            model(batch.images.to(device))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    return len(used)

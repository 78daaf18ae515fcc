"""Normalisation with statistics over visible positions only."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributed import is_available, is_initialized

from unmask.encoders.dense.layout import Masked, require_map, zeroed


def batch_norm(
    func: Callable[..., Tensor],
    x: Masked,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Masked:
    """BatchNorm (Ioffe & Szegedy 2015) over visible positions; running statistics follow the visible count.

    Over several processes, sums and counts are reduced over all of them.
    """
    require_map(x)
    if not training:
        values = func(x.values, running_mean, running_var, weight, bias, False, momentum, eps)
        return zeroed(values, x.layout)
    visible = x.visible()
    values = x.values.to(visible.dtype)
    count, total = _across_processes(visible.sum().reshape(1), values.sum((0, 2, 3)))
    mean = total / count
    centred = (values - mean[:, None, None]) * visible
    _, squares = _across_processes(visible.sum().reshape(1), centred.square().sum((0, 2, 3)))
    variance = squares / count
    with torch.no_grad():
        if running_mean is not None and running_var is not None:
            unbiased = squares.detach() / (count - 1).clamp(min=1)
            running_mean.lerp_(mean.detach().to(running_mean.dtype), momentum)
            running_var.lerp_(unbiased.to(running_var.dtype), momentum)
    scale = torch.rsqrt(variance + eps)
    scale = scale if weight is None else scale * weight
    result = centred * scale[:, None, None]
    result = result if bias is None else result + bias[:, None, None]
    return zeroed(result.to(x.values.dtype), x.layout)


def group_norm(
    func: Callable[..., Tensor],
    x: Masked,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Masked:
    """GroupNorm (Wu & He 2018): mean and variance of each image and group over its visible positions."""
    height, width = require_map(x)
    batch, channels = x.values.shape[:2]
    visible = x.visible()
    values = x.values.to(visible.dtype).reshape(batch, num_groups, -1, height, width)
    count = visible.sum((2, 3)).clamp(min=1) * (channels // num_groups)
    mean = values.sum((2, 3, 4)) / count
    centred = (values - mean[..., None, None, None]) * visible[:, None]
    variance = centred.square().sum((2, 3, 4)) / count
    result = (centred * torch.rsqrt(variance + eps)[..., None, None, None]).reshape(batch, channels, height, width)
    result = result if weight is None else result * weight[:, None, None]
    result = result if bias is None else result + bias[:, None, None]
    return zeroed(result.to(x.values.dtype), x.layout)


def _across_processes(count: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
    """Sum a count [1] and per-channel totals [C] over all processes, differentiably."""
    if not (is_available() and is_initialized() and torch.distributed.get_world_size() > 1):
        return count, total
    from torch.distributed.nn.functional import all_reduce  # warns at import where distributed is not used

    both: Any = all_reduce(torch.cat([count, total]))
    return both[:1], both[1:]

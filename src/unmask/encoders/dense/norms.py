"""Normalization with statistics over visible positions only."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from unmask.distributed import all_reduce_sum, world_size
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
    result, mean, squares, count = VisibleBatchNorm.apply(values, visible, weight, bias, eps)
    with torch.no_grad():
        if running_mean is not None and running_var is not None:
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_((squares / (count - 1).clamp(min=1)).to(running_var.dtype), momentum)
    return Masked(result.to(x.values.dtype), x.layout)


class VisibleBatchNorm(torch.autograd.Function):
    """y = ((x - m) r γ + β) · visible with m and r = (v + ε)^(-1/2) over the n visible positions, in few passes.

    With s = γ r and x = 0 at hidden positions, y = s x + (β - s m) · visible. Backwards, with g masked and
    x̂ = (x - m) r: dβ = Σ g, dγ = Σ g x̂, dx = s (g - dβ / n - x̂ dγ / n) at visible positions (Ioffe & Szegedy 2015).
    Sums and counts are over all processes; dγ and dβ are this process's own, as for any parameter.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, visible: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x [B, C, H, W], 0 where hidden; visible [B, 1, H, W] of 0 and 1 → y, mean [C], Σ (x - m)² [C], count [1]."""
        count, total = _across_processes(visible.sum().reshape(1), x.sum((0, 2, 3)))
        mean = total / count
        centered = torch.addcmul(x, visible, mean[:, None, None], value=-1)
        _, squares = _across_processes(count, centered.square_().sum((0, 2, 3)))
        rate = torch.rsqrt(squares / count + eps)
        scale = rate if weight is None else rate * weight
        shift = -mean * scale if bias is None else bias - mean * scale
        ctx.save_for_backward(x, visible, mean, rate, scale, count)
        ctx.affine = (weight is not None, bias is not None)
        ctx.mark_non_differentiable(mean, squares, count)
        y = torch.addcmul(x * scale[:, None, None], visible, shift[:, None, None])
        return y, mean, squares, count

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *unused: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x, weight and bias."""
        x, visible, mean, rate, scale, count = ctx.saved_tensors
        gradient = gradient * visible
        own_bias = gradient.sum((0, 2, 3))
        own_weight = ((gradient * x).sum((0, 2, 3)) - mean * own_bias) * rate
        _, of_bias = _across_processes(count, own_bias)
        _, of_weight = _across_processes(count, own_weight)
        slope = scale * rate * of_weight / count
        offset = mean * slope - scale * of_bias / count
        result = gradient.mul_(scale[:, None, None]).addcmul_(x, slope[:, None, None], value=-1)
        result.addcmul_(visible, offset[:, None, None])
        weight, bias = ctx.affine
        return result, None, own_weight if weight else None, own_bias if bias else None, None


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
    centered = (values - mean[..., None, None, None]) * visible[:, None]
    variance = centered.square().sum((2, 3, 4)) / count
    result = (centered * torch.rsqrt(variance + eps)[..., None, None, None]).reshape(batch, channels, height, width)
    if weight is not None:
        result = result * weight[:, None, None]
    if bias is not None:
        result = result + bias[:, None, None]
    return zeroed(result.to(x.values.dtype), x.layout)


def _across_processes(count: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
    """Sum a count [1] and per-channel totals [C] over all processes."""
    if world_size() == 1:
        return count, total
    both = all_reduce_sum(torch.cat([count, total]))
    return both[:1], both[1:]

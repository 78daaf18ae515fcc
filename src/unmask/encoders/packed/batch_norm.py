"""BatchNorm of tiles with few channels: a tile's positions are treated as further channels to fill vectors."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

NARROW = 16
"""With fewer channels the library's BatchNorm, which runs along channels, is slower."""


def narrow_batch_norm(
    func: Callable[..., Tensor],
    tiles: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm` of tiles [V, C, t, t]."""
    if not training:
        return func(tiles, running_mean, running_var, weight, bias, False, momentum, eps)
    result, mean, variance = TileBatchNorm.apply(tiles, weight, bias, eps)
    with torch.no_grad():
        if running_mean is not None and running_var is not None:
            count = tiles.numel() // tiles.shape[1]
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_((variance * (count / (count - 1))).to(running_var.dtype), momentum)
    return result


class TileBatchNorm(torch.autograd.Function):
    """y = (x - m) r γ + β with m and r = (v + ε)^(-1/2) over all positions (Ioffe & Szegedy 2015)."""

    @staticmethod
    def forward(
        ctx: Any, tiles: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Tiles [V, C, t, t] → y, mean [C], variance [C]."""
        channels, x = tiles.shape[1], _wide(tiles)
        means, variances = (of.view(-1, channels) for of in torch.batch_norm_update_stats(x, None, None, 0.0))
        mean = means.mean(0)
        variance = (variances + (means - mean).square()).mean(0)
        rate = torch.rsqrt(variance + eps)
        scale = rate if weight is None else rate * weight
        shift = -mean * scale if bias is None else bias - mean * scale
        ctx.save_for_backward(tiles, mean, rate, scale)
        ctx.affine = (weight is not None, bias is not None)
        ctx.mark_non_differentiable(mean, variance)
        return _tiles(torch.addcmul(_repeat(shift, x), x, _repeat(scale, x)), tiles), mean, variance

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *unused: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of tiles, weight and bias: dx = s (g - dβ / n - x̂ dγ / n) with s = γ r and x̂ = (x - m) r."""
        tiles, mean, rate, scale = ctx.saved_tensors
        x, g, count = _wide(tiles), _wide(gradient), tiles.numel() // tiles.shape[1]
        statistics = (None, None, None, _repeat(mean, x), _repeat(rate, x))
        sums = torch.ops.aten.native_batch_norm_backward(g, x, *statistics, True, 0.0, [False, True, True])
        of_weight, of_bias = (one.view(-1, len(mean)).sum(0) for one in sums[1:])
        slope = scale * rate * of_weight / count
        offset = mean * slope - scale * of_bias / count
        result = torch.addcmul(_repeat(offset, x), g, _repeat(scale, x)).addcmul_(x, _repeat(slope, x), value=-1)
        weight, bias = ctx.affine
        return _tiles(result, tiles), of_weight if weight else None, of_bias if bias else None, None


def _wide(tiles: Tensor) -> Tensor:
    """[V, C, t, t] to [V, t·t·C]; free for channels-last tiles."""
    return tiles.permute(0, 2, 3, 1).reshape(len(tiles), -1)


def _tiles(wide: Tensor, like: Tensor) -> Tensor:
    """The inverse of `_wide`."""
    _, channels, height, width = like.shape
    return wide.view(-1, height, width, channels).permute(0, 3, 1, 2)


def _narrow(sums: Tensor, channels: int) -> Tensor:
    """Sums over the positions of a tile, [t·t·C] to [C]."""
    return sums.view(-1, channels).sum(0)


def _repeat(values: Tensor, wide: Tensor) -> Tensor:
    """[C] to [t·t·C]."""
    return values.repeat(wide.shape[1] // len(values))

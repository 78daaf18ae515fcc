"""Pooling windows that see visible positions only."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from unmask.encoders.dense.layout import Masked, UnsupportedError, require_map, zeroed


def max_pool(func: Callable[..., Tensor], x: Masked, *args: Any, **kwargs: Any) -> Masked:
    """Hidden positions are -inf; a window without visible positions gives 0."""
    require_map(x)
    pooled = func(x.filled(float("-inf")), *args, **kwargs)
    pooled = torch.where(pooled == float("-inf"), torch.zeros_like(pooled), pooled)
    return zeroed(pooled, x.layout.projected(pooled.shape[2], pooled.shape[3]))


def average_pool(func: Callable[..., Tensor], x: Masked, *args: Any, **kwargs: Any) -> Masked:
    """The plain average divided by the visible share of each window: exactly the plain pool where nothing is hidden."""
    require_map(x)
    visible = x.visible()
    pooled = func(x.values, *args, **kwargs)
    share = func(visible, *args, **kwargs) / func(torch.ones_like(visible), *args, **kwargs).clamp(min=1e-12)
    pooled = pooled / torch.where(share > 0, share, torch.ones_like(share)).to(pooled.dtype)
    return zeroed(pooled, x.layout.projected(pooled.shape[2], pooled.shape[3]))


def global_or_window(func: Callable[..., Tensor], x: Masked, output_size: Any) -> Masked | Tensor:
    """Adaptive average pooling; to 1x1 it leaves a plain [B, C, 1, 1] mean over the visible positions."""
    require_map(x)
    if output_size in (1, (1, 1), [1, 1], torch.Size((1, 1))):
        visible = x.visible()
        mean = x.values.sum((2, 3), keepdim=True) / visible.sum((2, 3), keepdim=True).clamp(min=1)
        return mean.to(x.values.dtype)
    return average_pool(func, x, output_size)


def global_max(func: Callable[..., Tensor], x: Masked, output_size: Any, return_indices: bool = False) -> Tensor:
    """Adaptive max pooling to 1x1: the maximum over the visible positions."""
    require_map(x)
    if output_size not in (1, (1, 1)) or return_indices:
        raise UnsupportedError("only a maximum over the whole map is honored")
    return func(x.filled(float("-inf")), output_size)

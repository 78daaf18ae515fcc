"""Sums, means and maxima: over height and width they see only visible positions and return a plain tensor."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from unmask.encoders.dense.layout import Masked, UnsupportedError, normal_dims, zeroed


def total(func: Callable[..., Tensor], x: Masked, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> Any:
    """Sum or Euclidean norm: hidden zeros contribute nothing."""
    return _reduce(x, lambda: func(x.values, dim=dim, keepdim=keepdim, **kwargs), dim, keepdim)


def norm(
    func: Callable[..., Tensor], x: Masked, p: Any = 2, dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Any:
    """A p-norm with p > 0."""
    return _reduce(x, lambda: torch.norm(x.values, p=p, dim=dim, keepdim=keepdim, dtype=dtype), dim, keepdim)


def normalize(
    func: Callable[..., Tensor], x: Masked, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: None = None
) -> Masked:
    """Divide by the p-norm along a dimension; hidden zeros contribute nothing and stay 0."""
    return Masked(func(x.values, p, dim, eps), x.layout)


def variance(
    func: Callable[..., Tensor],
    x: Masked,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    **kw: Any,
) -> Any:
    """Variance over the visible positions; `correction` as in torch.var (default 1)."""
    correction = kw.get("correction", 1 if unbiased is None else int(unbiased))
    dims = normal_dims(dim, x.values.ndim)
    if not set(dims) & set(x.layout.axes):
        return _reduce(x, lambda: func(x.values, dim=dim, correction=correction, keepdim=keepdim), dim, keepdim)

    def visible_variance() -> Tensor:
        visible, count = _count(x, dims, keepdim=True)
        centered = (x.values - x.values.sum(dims, keepdim=True) / count) * visible
        result = centered.square().sum(dims, keepdim=True) / (count - correction).clamp(min=1)
        result = result.to(x.values.dtype)
        return result if keepdim else result.squeeze(dims)

    return _reduce(x, visible_variance, dim, keepdim)


def softmax(func: Callable[..., Tensor], x: Masked, dim: int, *args: Any, **kwargs: Any) -> Masked:
    """Softmax over tokens gives hidden ones no weight; over other dimensions it acts at each position."""
    dim = dim % x.values.ndim
    if dim in x.layout.axes and (len(x.layout.axes) == 3 or dim == x.layout.axes[0]):
        raise UnsupportedError("it normalizes over only one of height and width, or the batch")
    values = x.filled(float("-inf")) if dim in x.layout.axes else x.values
    return zeroed(torch.softmax(values, dim), x.layout)


def mean(func: Callable[..., Tensor], x: Masked, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> Any:
    """Mean over the visible positions (and over all other reduced dimensions)."""
    dims = normal_dims(dim, x.values.ndim)
    if not set(dims) & set(x.layout.axes):
        return _reduce(x, lambda: func(x.values, dim=dim, keepdim=keepdim, **kwargs), dim, keepdim)

    def visible_mean() -> Tensor:
        _, count = _count(x, dims, keepdim)
        return (x.values.sum(dims, keepdim=keepdim) / count).to(x.values.dtype)

    return _reduce(x, visible_mean, dim, keepdim)


def maximum(func: Callable[..., Any], x: Masked, dim: Any = None, keepdim: bool = False) -> Any:
    """Maximum over the visible positions."""
    dims = normal_dims(dim, x.values.ndim)
    values = x.filled(float("-inf")) if set(dims) & set(x.layout.spatial()) else x.values

    def reduce() -> Tensor:
        result = func(values, dim=dim, keepdim=keepdim)
        return result if isinstance(result, Tensor) else result[0]

    return _reduce(x, reduce, dim, keepdim)


def _count(x: Masked, dims: tuple[int, ...], keepdim: bool) -> tuple[Tensor, Tensor]:
    """1 where visible, and how many visible values a reduction over `dims` takes (at least 1)."""
    visible = x.visible()
    sizes = [x.values.shape[d] if d in dims else n for d, n in enumerate(visible.shape)]
    return visible, visible.expand(sizes).sum(dims, keepdim=keepdim).clamp(min=1)


def _reduce(x: Masked, compute: Callable[[], Tensor], dim: Any, keepdim: bool) -> Masked | Tensor:
    dims = set(normal_dims(dim, x.values.ndim))
    spatial = set(x.layout.spatial())
    if spatial <= dims:
        return compute()
    if dims & set(x.layout.axes):
        raise UnsupportedError("it reduces only one of height and width, or the batch")
    if keepdim:
        return zeroed(compute(), x.layout)
    axes = tuple(axis - sum(d < axis for d in dims) for axis in x.layout.axes)
    return zeroed(compute(), x.layout.with_axes(axes))

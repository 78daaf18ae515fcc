"""Sums, means and maxima: over height and width they see visible positions only and leave a plain tensor."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from unmask.encoders.dense.layout import Masked, UnsupportedError, normal_dims, zeroed


def total(func: Callable[..., Tensor], x: Masked, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> Any:
    """Sum or Euclidean norm: hidden zeros contribute nothing."""
    return _reduce(x, lambda: func(x.values, dim=dim, keepdim=keepdim, **kwargs), dim, keepdim)


def norm(func: Callable[..., Tensor], x: Masked, p: Any = 2, dim: Any = None, keepdim: bool = False) -> Any:
    """A p-norm with p > 0."""
    return _reduce(x, lambda: func(x.values, p=p, dim=dim, keepdim=keepdim), dim, keepdim)


def mean(func: Callable[..., Tensor], x: Masked, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> Any:
    """Mean over the visible positions (and over all other reduced dimensions)."""
    dims = normal_dims(dim, x.values.ndim)
    if not set(dims) & set(x.layout.axes):
        return _reduce(x, lambda: func(x.values, dim=dim, keepdim=keepdim, **kwargs), dim, keepdim)

    def visible_mean() -> Tensor:
        visible = x.visible().expand([n if d in dims else v for d, (n, v) in enumerate(_sizes(x))])
        count = visible.sum(dims, keepdim=keepdim).clamp(min=1)
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


def _sizes(x: Masked) -> list[tuple[int, int]]:
    return list(zip(x.values.shape, x.layout.broadcast(x.values.ndim).shape, strict=True))


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

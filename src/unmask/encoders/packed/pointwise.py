"""Operations at each position, and statistics over the visible ones: most run unchanged, as tiles hold only these."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from unmask.distributed import world_size
from unmask.encoders.dense import norms
from unmask.encoders.dense.layout import Cells, Layout, Masked, UnsupportedError, normal_dims
from unmask.encoders.packed.batch_norm import NARROW, narrow_batch_norm
from unmask.encoders.packed.tiled_map import Packed, require_tiles


def pointwise(func: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Packed:
    """Elementwise operations; a plain [B, C, 1, 1] gate is handed to the tiles of its image."""
    packed = [a for a in (*args, *kwargs.values()) if isinstance(a, Packed)]
    first = packed[0]
    if any(p.tiles is not first.tiles or p.last != first.last or p.side != first.side for p in packed):
        raise UnsupportedError("its arguments are packed differently")
    values = func(*[_spread(a, first) for a in args], **{k: _spread(v, first) for k, v in kwargs.items()})
    return first.with_values(values)


def activation(func: Callable[..., Tensor], x: Packed, *args: Any, **kwargs: Any) -> Packed:
    """Activations; the `inplace` flag is dropped, since the values may be needed by a hook or another branch."""
    kept = {key: value for key, value in kwargs.items() if key != "inplace"}
    return x.with_values(func(x.values, *[a for a in args if a is not True], **kept))


def dropout(
    func: Callable[..., Tensor], x: Packed, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Packed:
    """Dropout of single values."""
    return x.with_values(func(x.values, p, training))


def unary(func: Callable[..., Tensor], x: Packed, *args: Any, **kwargs: Any) -> Packed:
    """Operations that act on the values alone: batch_norm, changes of type."""
    return x.with_values(func(x.values, *args, **kwargs))


def batch_norm(func: Callable[..., Tensor], x: Packed, *args: Any, **kwargs: Any) -> Packed:
    """The library's own BatchNorm, or one for few channels: all rows are visible positions.

    Over several processes, and for a single row, the dense rule's statistics are taken.
    """
    side = require_tiles(x)
    if world_size() > 1 or x.values.numel() == x.values.shape[1]:
        cells = Cells(torch.zeros(len(x.values), side, side, dtype=torch.bool, device=x.values.device))
        whole = Masked(x.values, Layout(cells, cells.hidden, (0, 2, 3)))
        return x.with_values(norms.batch_norm(func, whole, *args, **kwargs).values)
    exact = x.values.dtype in (torch.float32, torch.float64)  # sums of lower precisions are the library's
    if x.values.shape[1] < NARROW and exact and x.values.device.type == "cpu":
        return x.with_values(narrow_batch_norm(func, x.values, *args, **kwargs))
    return x.with_values(func(x.values, *args, **kwargs))


def channelwise(func: Callable[..., Tensor], x: Packed, *args: Any, **kwargs: Any) -> Packed:
    """linear and layer_norm over the last dimension of a channels-last map."""
    shape = args[0] if args and not isinstance(args[0], Tensor) else kwargs.get("normalized_shape", (0,))
    if not x.last or len(shape) != 1:
        raise UnsupportedError("it mixes positions")
    return x.with_values(func(x.values, *args, **kwargs))


def group_norm(
    func: Callable[..., Tensor],
    x: Packed,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Packed:
    """Mean and variance of each image and group over its visible positions."""
    side = require_tiles(x)
    values = x.values.reshape(len(x.values), num_groups, -1)
    positions = torch.bincount(x.tiles.image, minlength=len(x.tiles.hidden)) * side * side
    count = (positions * (x.values.shape[1] // num_groups))[:, None].to(values.dtype)
    mean = (_per_image(values.sum(2), x) / count)[x.tiles.image, :, None]
    centered = values - mean
    variance = _per_image(centered.square().sum(2), x) / count
    result = (centered * torch.rsqrt(variance + eps)[x.tiles.image, :, None]).reshape(x.values.shape)
    if weight is not None:
        result = result * weight[:, None, None]
    return x.with_values(result if bias is None else result + bias[:, None, None])


def mean(func: Callable[..., Tensor], x: Packed, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> Any:
    """Mean over height and width: of each image's visible positions, a plain tensor."""
    return _reduce(func, x, dim, keepdim, average=True)


def total(func: Callable[..., Tensor], x: Packed, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> Any:
    """Sum over height and width."""
    return _reduce(func, x, dim, keepdim, average=False)


def norm(
    func: Callable[..., Tensor], x: Packed, p: Any = 2, dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Tensor:
    """Euclidean norm over height and width; its slope at 0 is taken as 0, as in torch.norm."""
    if p != 2 or set(normal_dims(dim, 4)) != set(x.spatial):
        raise UnsupportedError("only the Euclidean norm over height and width is honored")
    squares = _reduce(torch.sum, x.with_values(x.values.square()), dim, keepdim, average=False)
    return torch.where(squares > 0, squares, 1).sqrt() * (squares > 0)


def adaptive_average(func: Callable[..., Tensor], x: Packed, output_size: Any) -> Tensor:
    """Global average pooling."""
    if output_size not in (1, (1, 1), [1, 1]):
        raise UnsupportedError("only global pooling is honored")
    return _reduce(torch.mean, x, (2, 3), True, average=True)


def _reduce(func: Callable[..., Tensor], x: Packed, dim: Any, keepdim: bool, *, average: bool) -> Any:
    dims = normal_dims(dim, 4)
    if set(dims) != set(x.spatial):
        if not keepdim or dims != ((3,) if x.last else (1,)):
            raise UnsupportedError("it reduces something other than height and width, or channels kept")
        return x.with_values(func(x.values, dim=dims, keepdim=True))
    sums = _per_image(x.values.sum(x.spatial), x)
    if average:
        count = torch.bincount(x.tiles.image, minlength=len(x.tiles.hidden)) * x.side * x.side
        sums = sums / count.clamp(min=1)[:, None].to(sums.dtype)
    if not keepdim:
        return sums
    return sums[:, None, None, :] if x.last else sums[:, :, None, None]


def _per_image(values: Tensor, x: Packed) -> Tensor:
    """Sum [V, C] over the cells of each image: [B, C]."""
    return values.new_zeros(len(x.tiles.hidden), values.shape[1]).index_add(0, x.tiles.image, values)


def _spread(argument: Any, like: Packed) -> Any:
    """Bring an argument to the tiles' shape."""
    if isinstance(argument, Packed):
        return argument.values
    if not isinstance(argument, Tensor) or argument.ndim == 0:
        return argument
    shape = (1,) * (4 - argument.ndim) + tuple(argument.shape)
    if len(shape) != 4 or any(shape[d] != 1 for d in like.spatial):
        raise UnsupportedError("a plain argument differs between positions")
    return argument if shape[0] == 1 else argument.index_select(0, like.tiles.image)

"""Pooling of tiles."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from unmask.encoders.dense.layout import UnsupportedError
from unmask.encoders.packed.convolution import _one
from unmask.encoders.packed.gather import Take, as_rows, as_tiles
from unmask.encoders.packed.tiled_map import Packed, require_tiles


def max_pool(
    func: Callable[..., Tensor],
    x: Packed,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Packed:
    """Windows over a tile and its surroundings, -inf where hidden or outside."""
    side = require_tiles(x)
    kernel, padding, dilation = _one(kernel_size), _one(padding), _one(dilation)
    stride = kernel if stride in (None, []) else _one(stride)
    size = (side // stride - 1) * stride + dilation * (kernel - 1) + 1
    if side % stride or return_indices or not 0 <= dilation * (kernel - 1) - 2 * padding < stride:
        raise UnsupportedError(f"kernel {kernel}, stride {stride}, padding {padding} do not map tiles to tiles")
    if padding == 0 and size <= side:
        return x.with_values(F.max_pool2d(x.values, kernel, stride, 0, dilation))
    window = Take.apply(as_rows(x.values), x.tiles.window(side, padding, size), float("-inf"))
    return x.with_values(F.max_pool2d(as_tiles(window, size), kernel, stride, 0, dilation))


def average_pool(
    func: Callable[..., Tensor],
    x: Packed,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Packed:
    """Windows that lie inside a tile."""
    side = require_tiles(x)
    kernel = _one(kernel_size)
    stride = kernel if stride in (None, []) else _one(stride)
    if kernel == 1 and stride == 1:
        return x
    if kernel != stride or side % stride or _one(padding) or divisor_override is not None:
        raise UnsupportedError("averaging windows cross the borders of cells")
    return x.with_values(F.avg_pool2d(x.values, kernel, stride))

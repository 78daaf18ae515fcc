"""Pooling of tiles."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from unmask.encoders.dense.layout import UnsupportedError
from unmask.encoders.packed.convolution import _one
from unmask.encoders.packed.gather import Take, as_rows, as_tiles, take
from unmask.encoders.packed.tiled_map import Packed, require_tiles
from unmask.encoders.packed.tiles import Rows, Window


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
    window = Window(_one(kernel_size), _stride(stride, kernel_size), _one(padding), _one(dilation))
    if return_indices:
        raise UnsupportedError("indices of maxima are not those of the map")
    if side % window.stride:
        return _coarser_maximum(x.one_by_one(), window, ceil_mode)
    size = (side // window.stride - 1) * window.stride + window.reach + 1
    if not window.keeps_borders:
        raise UnsupportedError(f"{window} does not map tiles to tiles")
    if window.padding == 0 and size <= side:
        return x.with_values(F.max_pool2d(x.values, window.kernel, window.stride, 0, window.dilation))
    rows, index = as_rows(x.values), x.tiles.halo(side, window)
    if rows.device.type == "cpu":
        values = MaximumOfHalo.apply(rows, index, size, window)
    else:
        halo = Take.apply(rows, index, float("-inf"))
        values = F.max_pool2d(as_tiles(halo, size), window.kernel, window.stride, 0, window.dilation)
    reads_own = window.dilation == 1  # a window that keeps borders and has no gaps reads a position of its own tile
    return x.with_values(values if reads_own else _zero_if_nothing(values))


def _zero_if_nothing(values: Tensor) -> Tensor:
    """0 for windows that read no visible position."""
    return values.masked_fill(values == float("-inf"), 0.0)


class MaximumOfHalo(torch.autograd.Function):
    """Maxima of tiles with their surroundings. A gradient goes straight to the row that it belongs to, which needs no
    sorting; on a GPU such sums would depend on the order of its threads."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, index: Rows, size: int, window: Window) -> Tensor:
        """[m, C] to [V, C, t/s, t/s]."""
        halo = as_tiles(take(rows, index, float("-inf")), size)
        values, places = F.max_pool2d(halo, window.kernel, window.stride, 0, window.dilation, return_indices=True)
        ctx.save_for_backward(places)
        ctx.index, ctx.channels = index, rows.shape[1]
        return values

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradient of the rows."""
        (places,), index, channels = ctx.saved_tensors, ctx.index, ctx.channels
        found = index.source.view(len(places), -1).gather(1, as_rows(places).view(len(places), -1))
        entries = (found * channels).view(-1, channels) + torch.arange(channels)
        result = gradient.new_zeros((index.rows + 1) * channels)  # the last row is that of places without a source
        result.index_add_(0, entries.flatten(), as_rows(gradient).flatten())
        return result.view(-1, channels)[:-1], None, None, None


def _coarser_maximum(x: Packed, window: Window, ceil: bool) -> Packed:
    """Of single positions; a window that reads no visible one gives 0."""
    outputs = x.coarser(window, ceil=ceil)
    read = Take.apply(as_rows(x.values), x.tiles.taps_of(outputs, window), float("-inf"))
    values = read.view(-1, window.kernel**2, x.values.shape[1]).amax(1)
    return Packed(as_tiles(_zero_if_nothing(values), 1), outputs)


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
    """Windows that lie inside a tile, or of single positions any without padding: means over the visible ones."""
    side = require_tiles(x)
    window = Window(_one(kernel_size), _stride(stride, kernel_size), _one(padding))
    if window.kernel == 1 and window.stride == 1:
        return x
    if window.padding or divisor_override is not None:
        raise UnsupportedError("averages over padding are not those of visible positions")
    if side % window.stride:
        return _coarser_average(x.one_by_one(), window, ceil_mode)
    if window.kernel != window.stride:
        raise UnsupportedError("averaging windows cross the borders of cells")
    return x.with_values(F.avg_pool2d(x.values, window.kernel, window.stride))


def _coarser_average(x: Packed, window: Window, ceil: bool) -> Packed:
    """Of single positions; a window that reads no visible one gives 0."""
    outputs = x.coarser(window, ceil=ceil)
    taps = x.tiles.taps_of(outputs, window)
    read = Take.apply(as_rows(x.values), taps, 0.0).view(-1, window.kernel**2, x.values.shape[1])
    visible = taps.found.view(-1, window.kernel**2, 1).sum(1).clamp(min=1)
    return Packed(as_tiles(read.sum(1) / visible.to(read.dtype), 1), outputs)


def _stride(stride: Any, kernel_size: Any) -> int:
    return _one(kernel_size if stride in (None, []) else stride)

"""Convolution of tiles: rows for 1x1, pairs or columns for small tiles, tiles with a halo for larger ones.

Columns and halos are rebuilt in the backward pass instead of being stored.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from unmask.encoders.dense.layout import UnsupportedError
from unmask.encoders.packed.depthwise import Depthwise
from unmask.encoders.packed.gather import Take, add_back, as_rows, as_tiles, take
from unmask.encoders.packed.pair_index import pairs_of
from unmask.encoders.packed.pairs import ByPairs
from unmask.encoders.packed.tiled_map import Packed, require_tiles
from unmask.encoders.packed.tiles import Rows, Tiles, Window

PAIRS_UP_TO = 2
"""Largest tile side for which products over pairs of visible tiles beat a window's columns."""
COLUMNS_UP_TO = 4
"""Largest tile side for which a window's columns and one matrix product beat a halo and a small convolution."""
COLUMNS_FROM = 16
"""Fewest input channels for which they do: shorter rows are slow to move."""


def convolution(
    func: Callable[..., Tensor],
    x: Packed,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Packed:
    """Square kernels with zero padding that keeps size / stride; any dilation and groups.

    If the stride does not divide the tile, positions become separate tiles, and any padding is supported.
    """
    side = require_tiles(x)
    x, weight, bias = _autocast(x, weight, bias)
    window = Window(*(_one(v) for v in (tuple(weight.shape[2:]), stride, padding, dilation)))
    if side % window.stride:
        return _coarser(x.one_by_one(), weight, bias, window, groups)
    if not window.keeps_borders:
        raise UnsupportedError(f"{window} does not map tiles to tiles")
    out = side // window.stride
    if window.kernel == 1:
        read = x.values[:, :, :: window.stride, :: window.stride]
        return x.with_values(_pointwise(as_rows(read), weight, bias, groups, out))
    rows = as_rows(x.values)
    size = (out - 1) * window.stride + window.reach + 1
    if window.padding == 0 and size <= side:
        return x.with_values(func(x.values, weight, bias, window.stride, 0, window.dilation, groups))
    if groups == 1 and _by_pairs(rows, side):
        found = ByPairs.apply(rows, weight, bias, pairs_of(x.tiles, x.tiles, side, window))
        return x.with_values(as_tiles(found, out))
    if groups == 1 and side <= COLUMNS_UP_TO and rows.shape[1] >= COLUMNS_FROM:
        return x.with_values(as_tiles(ByColumns.apply(rows, weight, bias, x.tiles.taps(side, window)), out))
    if groups == len(weight) == rows.shape[1] and window.stride == window.dilation == 1 and window.kernel % 2:
        return x.with_values(as_tiles(Depthwise.apply(rows, weight, bias, x.tiles, side), out))
    how = (window.stride, window.dilation, groups)
    return x.with_values(ByHalo.apply(rows, weight, bias, x.tiles.halo(side, window), size, how))


def _coarser(x: Packed, weight: Tensor, bias: Tensor | None, window: Window, groups: int) -> Packed:
    """From single positions to those of a coarser map, each of which may cover several cells."""
    rows, outputs = as_rows(x.values), x.coarser(window)
    if window.kernel == 1:
        values = _pointwise(Take.apply(rows, x.tiles.taps_of(outputs, window), 0.0), weight, bias, groups, 1)
    elif groups > 1:
        taps = x.tiles.taps_of(outputs, window)
        values = ByHalo.apply(rows, weight, bias, taps, window.kernel, (1, 1, groups))
    else:
        values = as_tiles(_at(rows, weight, bias, x.tiles, outputs, window), 1)
    return Packed(values, outputs)


def _at(rows: Tensor, weight: Tensor, bias: Tensor | None, tiles: Tiles, outputs: Tiles, window: Window) -> Tensor:
    """A convolution of single positions at others, [m, C] to [n, K]."""
    if _by_pairs(rows, 1):
        return ByPairs.apply(rows, weight, bias, pairs_of(tiles, outputs, 1, window))
    return ByColumns.apply(rows, weight, bias, tiles.taps_of(outputs, window))


def convolve_at(x: Tensor, weight: Tensor, bias: Tensor | None, wanted: Tensor) -> Tensor:
    """A convolution that keeps the size of a map [B, C, H, W], only at its `wanted` positions: [n, K]."""
    everywhere = Packed(as_tiles(as_rows(x), 1), Tiles.of(torch.zeros_like(wanted)))
    everywhere, weight, bias = _autocast(everywhere, weight, bias)
    kernel = weight.shape[2]
    window = Window(kernel, 1, kernel // 2)
    return _at(as_rows(everywhere.values), weight, bias, everywhere.tiles, Tiles.of(~wanted), window)


def _by_pairs(rows: Tensor, side: int) -> bool:
    """Whether to multiply pair by pair: many small products, slow to launch on a GPU, summed in the rows' type."""
    small = side <= PAIRS_UP_TO or (side <= COLUMNS_UP_TO and rows.shape[1] < COLUMNS_FROM)
    return small and rows.device.type == "cpu" and rows.dtype in (torch.float32, torch.float64)


def _autocast(x: Packed, weight: Tensor, bias: Tensor | None) -> tuple[Packed, Tensor, Tensor | None]:
    """The types that autocast gives to a convolution: it does not reach inside the functions below."""
    device = x.values.device.type
    if not torch.is_autocast_enabled(device):
        return x, weight, bias
    kind = torch.get_autocast_dtype(device)
    return x.with_values(x.values.to(kind)), weight.to(kind), None if bias is None else bias.to(kind)


def _pointwise(rows: Tensor, weight: Tensor, bias: Tensor | None, groups: int, side: int) -> Tensor:
    if groups > 1:
        return F.conv2d(as_tiles(rows, side), weight, bias, groups=groups)
    return as_tiles(F.linear(rows, weight[:, :, 0, 0], bias), side)


class ByColumns(torch.autograd.Function):
    """out[n] = Σ_taps W[:, :, tap] x[source(n, tap)] + b as one matrix product."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None, index: Rows) -> Tensor:
        """[m, C] to [n, K]."""
        ctx.save_for_backward(rows, weight)
        ctx.index, ctx.has_bias = index, bias is not None
        return F.linear(_columns(rows, weight, index), _flat(weight), bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of rows, weight and bias."""
        rows, weight = ctx.saved_tensors
        gradient = gradient.contiguous()
        of_rows = of_weight = None
        if ctx.needs_input_grad[1]:
            flat = gradient.T @ _columns(rows, weight, ctx.index)
            shape = (weight.shape[0], *weight.shape[2:], weight.shape[1])
            of_weight = flat.reshape(shape).permute(0, 3, 1, 2)
        if ctx.needs_input_grad[0]:
            of_rows = add_back((gradient @ _flat(weight)).reshape(-1, rows.shape[1]), ctx.index)
        return of_rows, of_weight, gradient.sum(0) if ctx.has_bias else None, None


class ByHalo(torch.autograd.Function):
    """Tiles with their surroundings, convolved without padding."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None, index: Rows, size: int, how: tuple[int, int, int]
    ) -> Tensor:
        """[m, C] to [V, K, t/s, t/s]; `how` is stride, dilation and groups."""
        ctx.save_for_backward(rows, weight)
        ctx.index, ctx.size, ctx.how, ctx.has_bias = index, size, how, bias is not None
        stride, dilation, groups = how
        return F.conv2d(as_tiles(take(rows, index), size), weight, bias, stride, 0, dilation, groups)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of rows, weight and bias."""
        rows, weight = ctx.saved_tensors
        stride, dilation, groups = ctx.how
        needs = [ctx.needs_input_grad[0], ctx.needs_input_grad[1], ctx.has_bias]
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        halo = as_tiles(take(rows, ctx.index), ctx.size)
        pair = ([stride] * 2, [0, 0], [dilation] * 2, False, [0, 0], groups)
        sizes = [weight.shape[0]] if ctx.has_bias else None
        of_halo, of_weight, of_bias = torch.ops.aten.convolution_backward(gradient, halo, weight, sizes, *pair, needs)
        of_rows = add_back(as_rows(of_halo), ctx.index) if needs[0] else None
        return of_rows, of_weight, of_bias if ctx.has_bias else None, None, None, None


def _columns(rows: Tensor, weight: Tensor, index: Rows) -> Tensor:
    return take(rows, index).reshape(-1, weight[0].numel())


def _flat(weight: Tensor) -> Tensor:
    """[K, C, k, k] to [K, k·k·C], the order of the columns."""
    return weight.permute(0, 2, 3, 1).reshape(weight.shape[0], -1)


def _one(value: Any) -> int:
    if isinstance(value, str):
        raise UnsupportedError(f"padding {value!r} is not a number")
    values = (value,) if isinstance(value, int) else tuple(value)
    if len(set(values)) != 1:
        raise UnsupportedError("height and width are treated differently")
    return int(values[0])

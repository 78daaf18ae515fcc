"""Depthwise convolution of tiles, stride 1: if a halo dwarfs the tile, a dense map is filled, convolved and read.

The weight gradient of small tiles is summed tap by tap: faster there than the library's (benchmarks/results).
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from unmask.encoders.packed.gather import add_back, as_rows, as_tiles, dense_map, take
from unmask.encoders.packed.tiles import Tiles, Window

DENSE_UP_TO = 2
"""Largest tile side convolved through a dense map."""
TAPS_UP_TO = 4
"""Largest tile side whose weight gradient is summed tap by tap."""


class Depthwise(torch.autograd.Function):
    """out[n, c] = Σ_taps w[c, tap] x[source(n, tap), c] + b[c], odd kernel, size kept."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None, tiles: Tiles, side: int) -> Tensor:
        """[m, C] to [m, C]."""
        ctx.save_for_backward(rows, weight)
        ctx.tiles, ctx.side, ctx.has_bias = tiles, side, bias is not None
        if side <= DENSE_UP_TO:
            dense = F.conv2d(dense_map(rows, tiles, side), weight, bias, 1, weight.shape[2] // 2, 1, weight.shape[0])
            return as_rows(dense).index_select(0, tiles.spots(side))
        return as_rows(F.conv2d(_halo(rows, tiles, side, weight), weight, bias, groups=weight.shape[0]))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of rows, weight and bias."""
        rows, weight = ctx.saved_tensors
        tiles, side, gradient = ctx.tiles, ctx.side, gradient.contiguous()
        of_rows = _of_rows(gradient, weight, tiles, side) if ctx.needs_input_grad[0] else None
        of_weight = _of_weight(rows, gradient, weight, tiles, side) if ctx.needs_input_grad[1] else None
        return of_rows, of_weight, gradient.sum(0) if ctx.has_bias else None, None, None


def _of_rows(gradient: Tensor, weight: Tensor, tiles: Tiles, side: int) -> Tensor:
    """The same convolution with the kernel flipped."""
    kernel = weight.shape[2]
    if side <= DENSE_UP_TO:
        turned = weight.flip(2, 3)
        dense = F.conv2d(dense_map(gradient, tiles, side), turned, None, 1, kernel // 2, 1, weight.shape[0])
        return as_rows(dense).index_select(0, tiles.spots(side))
    size = side + kernel - 1
    like = gradient.new_empty(1).expand(len(tiles.place), weight.shape[0], size, size)
    of_halo = _library(as_tiles(gradient, side), like, weight, [True, False, False])[0]
    return add_back(as_rows(of_halo), tiles.halo(side, Window(kernel, 1, kernel // 2)))


def _of_weight(rows: Tensor, gradient: Tensor, weight: Tensor, tiles: Tiles, side: int) -> Tensor:
    halo = _halo(rows, tiles, side, weight)
    if side > TAPS_UP_TO:
        return _library(as_tiles(gradient, side), halo, weight, [False, True, False])[1]
    channels, _, kernel, _ = weight.shape
    read, written = halo.permute(0, 2, 3, 1), gradient.reshape(-1, side, side, channels)
    result = gradient.new_empty(kernel, kernel, channels)
    for y in range(kernel):
        for x in range(kernel):
            product = read[:, y : y + side, x : x + side] * written
            torch.sum(product.reshape(-1, channels), 0, out=result[y, x])
    return result.permute(2, 0, 1)[:, None]


def _library(gradient: Tensor, halo: Tensor, weight: Tensor, needs: list[bool]) -> tuple[Tensor, Tensor, Tensor]:
    plain = ([1, 1], [0, 0], [1, 1], False, [0, 0], weight.shape[0], needs)
    result: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(gradient, halo, weight, None, *plain)
    return result


def _halo(rows: Tensor, tiles: Tiles, side: int, weight: Tensor) -> Tensor:
    kernel = weight.shape[2]
    size = side + kernel - 1
    return as_tiles(take(rows, tiles.halo(side, Window(kernel, 1, kernel // 2))), size)

"""Rows moved by index, and the transpose of that, as one differentiable operation."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from unmask.encoders.packed.tiles import Rows, Tiles


def take(rows: Tensor, index: Rows, fill: float = 0.0) -> Tensor:
    """[m, C] to [n, C]; `fill` where there is no source. Not differentiable."""
    return torch.cat([rows, rows.new_full((1, rows.shape[1]), fill)]).index_select(0, index.source)


def add_back(gradient: Tensor, index: Rows) -> Tensor:
    """Transpose of `take`: each source row sums the gradients of its copies."""
    return F.embedding_bag(index.order, gradient, index.offsets, mode="sum")


def dense_map(rows: Tensor, tiles: Tiles, side: int, fill: float = 0.0) -> Tensor:
    """[V·t·t, C] to channels-last [B, C, H, W], `fill` at hidden positions. Not differentiable."""
    batch, height, width = tiles.hidden.shape
    dense = take(rows, tiles.scatter(side), fill)
    return dense.reshape(batch, height * side, width * side, rows.shape[1]).permute(0, 3, 1, 2)


class Take(torch.autograd.Function):
    """`take`, differentiable."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, index: Rows, fill: float) -> Tensor:
        """See `take`."""
        ctx.index = index
        return take(rows, index, fill)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """See `add_back`."""
        return add_back(gradient.contiguous(), ctx.index), None, None


def as_rows(tiles: Tensor) -> Tensor:
    """[V, C, t, t] to [V·t·t, C]; free for channels-last tiles."""
    return tiles.permute(0, 2, 3, 1).reshape(-1, tiles.shape[1])


def as_tiles(rows: Tensor, side: int) -> Tensor:
    """[V·t·t, C] to channels-last [V, C, t, t]; free.

    Single positions get the strides that the library gives its results: if a map's strides differ from its gradient's,
    BatchNorm's backward pass takes six times as long.
    """
    return rows[:, :, None, None] if side == 1 else rows.reshape(-1, side, side, rows.shape[1]).permute(0, 3, 1, 2)

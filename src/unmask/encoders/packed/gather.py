"""Rows moved by index, and the transpose of that, as one differentiable operation."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from unmask.encoders.packed.tiles import Rows


def take(rows: Tensor, index: Rows, fill: float = 0.0) -> Tensor:
    """[m, C] to [n, C]; `fill` where there is no source. Not differentiable."""
    return torch.cat([rows, rows.new_full((1, rows.shape[1]), fill)]).index_select(0, index.source)


def add_back(gradient: Tensor, index: Rows) -> Tensor:
    """Transpose of `take`: each source row sums the gradients of its copies."""
    return F.embedding_bag(index.order, gradient, index.offsets, mode="sum")


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
    """[V·t·t, C] to channels-last [V, C, t, t]; free."""
    return rows.reshape(-1, side, side, rows.shape[1]).permute(0, 3, 1, 2)

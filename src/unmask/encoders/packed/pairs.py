"""Convolution of small tiles as matrix products over pairs of neighboring visible tiles.

Products are taken only of pairs of visible tiles, so that work falls with the square of the visible share, and nothing
is padded.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from unmask.encoders.packed.pair_blocks import Blocks

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Bag:
    """Which rows of the products are summed into each row of a result."""

    order: Tensor
    offsets: Tensor

    def sum(self, products: Tensor) -> Tensor:
        """[n, C] to [rows, C]."""
        return F.embedding_bag(self.order, products, self.offsets, mode="sum")


@dataclass(frozen=True, eq=False)
class Ends:
    """One end of all pairs, block by block: the rows that are read, or those that are written."""

    indices: list[Tensor]
    """Rows of the map for each block: (pair, position)."""
    bag: Bag
    """From rows in the order of the blocks to those of the map."""
    counts: list[int]
    """Pairs of each block."""
    positions: list[int]
    """Rows of one pair of each block."""
    own: bool
    """Whether the first block is every tile itself, with all that it reads and writes, in order: it needs no index."""
    reverse: bool = False
    """Whether all blocks but the first are stored in reverse order: each in the place of its opposite."""

    @property
    def opposite(self) -> "Ends":
        """The other end, if what each block reads is what its opposite writes."""
        return replace(self, reverse=not self.reverse)

    def gather(self, rows: Tensor) -> Iterator[Tensor]:
        """The map's rows as a matrix for each block: one pair per row.

        They are made one after the other, so that the copies of two blocks at most exist at once.
        """
        for number, index in enumerate(self._in_order(self.indices)):
            if number == 0 and self.own:
                yield rows.view(self.counts[0], -1)
            else:
                part = rows.index_select(0, index)
                yield part if self.single else part.view(-1, self.positions[number] * rows.shape[1])

    def empty(self, like: Tensor, channels: int) -> Tensor:
        """Room for rows in the order of the blocks."""
        return like.new_empty(sum(self._sizes), channels)

    def cut(self, rows: Tensor) -> list[Tensor]:
        """Rows in the order of the blocks as a matrix for each, which share their storage: one pair per row."""
        # The method `split` and views that change nothing cost as much as a small product.
        parts = rows.split_with_sizes(self._sizes)
        if self.single:
            return self._in_order(list(parts))
        shapes = zip(parts, self.counts, self.positions, strict=True)
        return self._in_order([part.view(count, n * rows.shape[1]) for part, count, n in shapes])

    @cached_property
    def single(self) -> bool:
        """Whether tiles are single positions."""
        return set(self.positions) == {1}

    @cached_property
    def _sizes(self) -> list[int]:
        return [count * positions for count, positions in zip(self.counts, self.positions, strict=True)]

    def _in_order(self, stored: list[T]) -> list[T]:
        """From the order in which blocks are stored."""
        return [stored[0], *stored[:0:-1]] if self.reverse else stored


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of visible tiles, block by block."""

    blocks: Blocks
    read: Ends
    written: Ends

    def matrices(self, weight: Tensor) -> list[Tensor]:
        """[K, C, k, k] to a matrix [positions read x C, positions written x K] for each block; of single positions
        views of the weights."""
        if self.blocks.taps is not None:
            by_tap = weight.permute(2, 3, 1, 0).flatten(0, 1).unbind()
            return [by_tap[tap] for tap in self.blocks.taps]
        outputs, inputs = weight.shape[:2]
        kernel = weight.new_zeros(weight.shape[2] * weight.shape[3] + 1, inputs, outputs)
        kernel[:-1] = weight.permute(2, 3, 1, 0).flatten(0, 1)
        groups = []
        for _, (reads, writes), taps in self.blocks.alike:
            entries = kernel.index_select(0, taps).view(-1, reads, writes, inputs, outputs).transpose(2, 3)
            groups.append(entries.reshape(-1, reads * inputs, writes * outputs))
        return self.blocks.in_order(groups)


class KernelGradient:
    """The gradient of weights [K, C, k, k], from the gradients of the blocks' matrices."""

    def __init__(self, blocks: Blocks, weight: Tensor) -> None:
        self._blocks, self._shape = blocks, weight.shape
        outputs, inputs = weight.shape[:2]
        if blocks.taps is not None:
            self._whole = torch.empty_like(weight, memory_format=torch.channels_last)
            by_tap = self._whole.permute(2, 3, 1, 0).flatten(0, 1).unbind()
            self.of_block = [by_tap[tap] for tap in blocks.taps]
            """Room for the gradient of each block's matrix."""
            return
        self._alike = [
            weight.new_empty(len(one.numbers), one.shape[0] * inputs, one.shape[1] * outputs) for one in blocks.alike
        ]
        self.of_block = blocks.in_order(self._alike)

    def total(self) -> Tensor:
        """Of the weights, once `of_block` is filled."""
        if self._blocks.taps is not None:
            return self._whole
        outputs, inputs, height, width = self._shape
        sums = self._alike[0].new_zeros(height * width + 1, inputs * outputs)
        for (_, shape, taps), found in zip(self._blocks.alike, self._alike, strict=True):
            entries = found.view(-1, shape[0], inputs, shape[1], outputs).transpose(2, 3)
            sums.index_add_(0, taps, entries.reshape(-1, inputs * outputs))
        return sums[:-1].view(height, width, inputs, outputs).permute(3, 2, 0, 1)


class ByPairs(torch.autograd.Function):
    """The convolution of the rows of small tiles, float32 or float64."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None, pairs: Pairs) -> Tensor:
        """[m, C] to [n, K]."""
        rows = rows.contiguous()
        matrices = pairs.matrices(weight)
        small = sum(map(torch.numel, matrices)) <= rows.numel()
        ctx.save_for_backward(rows, weight, *(matrices if small else ()))  # made again where they are the larger part
        ctx.pairs, ctx.has_bias = pairs, bias is not None
        products = pairs.written.empty(rows, len(weight))
        steps = zip(pairs.read.gather(rows), matrices, pairs.written.cut(products), strict=True)
        for read, matrix, product in steps:
            torch.mm(read, matrix, out=product)
        result = pairs.written.bag.sum(products)
        return result if bias is None else result.add_(bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of rows, weight and bias."""
        rows, weight, *matrices = ctx.saved_tensors
        pairs: Pairs = ctx.pairs
        products, kernel = pairs.read.empty(rows, rows.shape[1]), KernelGradient(pairs.blocks, weight)
        of_block = zip(matrices or pairs.matrices(weight), pairs.read.cut(products), kernel.of_block, strict=True)
        ends = zip(pairs.read.gather(rows), pairs.written.gather(gradient.contiguous()), strict=True)
        for (read, write), (matrix, product, of_matrix) in zip(ends, of_block, strict=True):
            if ctx.needs_input_grad[0]:
                torch.mm(write, matrix.T, out=product)
            if ctx.needs_input_grad[1]:
                torch.mm(read.T, write, out=of_matrix)
        of_rows = pairs.read.bag.sum(products) if ctx.needs_input_grad[0] else None
        of_weight = kernel.total() if ctx.needs_input_grad[1] else None
        return of_rows, of_weight, gradient.sum(0) if ctx.has_bias else None, None

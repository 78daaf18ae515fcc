"""Convolution of small tiles as matrix products over pairs of neighboring visible tiles.

Products are taken only of pairs of visible tiles, so that work falls with the square of the visible share, and nothing
is padded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from unmask.encoders.packed.pair_blocks import Blocks


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

    index: Tensor
    """Rows of the map: (block, pair, position)."""
    bag: Bag
    """From rows in the order of `index` to those of the map."""
    counts: list[int]
    """Pairs of each block."""
    positions: list[int]
    """Rows of one pair of each block."""
    own: bool
    """Whether the first block is every tile itself, with all that it reads and writes, in order."""

    @cached_property
    def _sizes(self) -> list[int]:
        return [count * positions for count, positions in zip(self.counts, self.positions, strict=True)]

    @cached_property
    def _others(self) -> Tensor:
        return self.index[self._sizes[0] :]

    def gather(self, rows: Tensor) -> list[Tensor]:
        """The map's rows as a matrix for each block: one pair per row."""
        if not self.own:
            return self.cut(rows.index_select(0, self.index))
        others = rows.index_select(0, self._others)
        return [rows.view(self.counts[0], -1), *self.cut(others, first=1)]

    def cut(self, rows: Tensor, first: int = 0) -> list[Tensor]:
        """Rows of the blocks from `first` on, in the order of `index`, as a matrix for each, which share their storage:
        one pair per row."""
        # The method `split` and views that change nothing cost as much as a small product.
        parts = rows.split_with_sizes(self._sizes[first:])
        shapes = zip(parts, self.counts[first:], self.positions[first:], strict=True)
        return [part if n == 1 else part.view(count, n * rows.shape[1]) for part, count, n in shapes]


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
        result: dict[int, Tensor] = {}
        for numbers, (reads, writes), taps in self.blocks.alike:
            entries = kernel.index_select(0, taps).view(-1, reads, writes, inputs, outputs).transpose(2, 3)
            result.update(zip(numbers, entries.reshape(-1, reads * inputs, writes * outputs).unbind(), strict=True))
        return [result[number] for number in range(len(result))]

    def gradient(self, reads: list[Tensor], writes: list[Tensor], weight: Tensor) -> Tensor:
        """Of the weights [K, C, k, k], from what the blocks read and the gradients of what they write."""
        outputs, inputs, height, width = weight.shape
        if self.blocks.taps is not None:
            last = torch.zeros_like(weight, memory_format=torch.channels_last)
            by_tap = last.permute(2, 3, 0, 1).view(height * width, outputs, inputs).unbind()
            _multiply([one.T for one in writes], reads, [by_tap[tap] for tap in self.blocks.taps])
            return last
        sums = weight.new_zeros(height * width + 1, inputs * outputs)
        for numbers, shape, taps in self.blocks.alike:
            found = weight.new_empty(len(numbers), shape[0] * inputs, shape[1] * outputs)
            _multiply([reads[n].T for n in numbers], [writes[n] for n in numbers], found.unbind())
            entries = found.view(-1, shape[0], inputs, shape[1], outputs).transpose(2, 3)
            sums.index_add_(0, taps, entries.reshape(-1, inputs * outputs))
        return sums[:-1].view(height, width, inputs, outputs).permute(3, 2, 0, 1)


class ByPairs(torch.autograd.Function):
    """The convolution of the rows of small tiles, float32 or float64."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None, pairs: Pairs) -> Tensor:
        """[m, C] to [n, K]."""
        rows = rows.contiguous()
        ctx.save_for_backward(rows, weight)
        ctx.pairs, ctx.has_bias = pairs, bias is not None
        products = rows.new_empty(len(pairs.written.index), len(weight))
        _multiply(pairs.read.gather(rows), pairs.matrices(weight), pairs.written.cut(products))
        result = pairs.written.bag.sum(products)
        return result if bias is None else result.add_(bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of rows, weight and bias."""
        rows, weight = ctx.saved_tensors
        pairs: Pairs = ctx.pairs
        written = pairs.written.gather(gradient.contiguous())
        of_rows = of_weight = None
        if ctx.needs_input_grad[0]:
            products = rows.new_empty(len(pairs.read.index), rows.shape[1])
            _multiply(written, [matrix.T for matrix in pairs.matrices(weight)], pairs.read.cut(products))
            of_rows = pairs.read.bag.sum(products)
        if ctx.needs_input_grad[1]:
            of_weight = pairs.gradient(pairs.read.gather(rows), written, weight)
        return of_rows, of_weight, gradient.sum(0) if ctx.has_bias else None, None


def _multiply(one: Sequence[Tensor], two: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    """Matrix products, written in place."""
    for left, right, result in zip(one, two, out, strict=True):
        torch.mm(left, right, out=result)

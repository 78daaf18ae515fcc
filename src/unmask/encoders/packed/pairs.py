"""Convolution of small tiles as matrix products over pairs of neighboring visible tiles.

A tile of t x t positions with C channels is a vector of t·t·C numbers. Its contribution to itself, and to each of
its neighbors, is a separate matrix made of the kernel's taps; products are taken only of pairs of visible tiles, so
that work falls with the square of the visible share, and nothing is padded.
"""

from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from unmask.encoders.packed.tiles import Tiles, Window


class Block(NamedTuple):
    """The contribution of a tile at an offset to a tile: along each axis and then for both."""

    offset: tuple[int, int]
    """Rows and columns of tiles from the one that is written to the one that is read."""
    reads: tuple[int, ...]
    """Positions in the tile that is read."""
    writes: tuple[int, ...]
    """Positions in the tile that is written."""
    taps: tuple[int, ...]
    """The kernel's tap of each (read, written) position; one past the last if there is none."""


@cache
def blocks(side: int, window: Window) -> tuple[Block, ...]:
    """All blocks of a window over tiles with `side` positions per side; the tile itself comes first."""
    out = max(side // window.stride, 1)
    axis: dict[int, dict[tuple[int, int], int]] = defaultdict(dict)
    for written, tap in product(range(out), range(window.kernel)):
        offset, read = divmod(written * window.stride + tap * window.dilation - window.padding, side)
        axis[offset][read, written] = tap
    found = []
    for one, two in product(axis, axis):
        reads = list(product(*(sorted({read for read, _ in axis[key]}) for key in (one, two))))
        writes = list(product(*(sorted({written for _, written in axis[key]}) for key in (one, two))))
        none = window.kernel**2
        taps = []
        for (y, x), (above, left) in product(reads, writes):
            row, column = axis[one].get((y, above)), axis[two].get((x, left))
            taps.append(none if row is None or column is None else row * window.kernel + column)
        places = tuple(y * side + x for y, x in reads), tuple(y * out + x for y, x in writes)
        found.append(Block((one, two), *places, tuple(taps)))
    return tuple(sorted(found, key=lambda block: block.offset != (0, 0)))


@dataclass(frozen=True, eq=False)
class Bag:
    """Which rows of the products are summed into each row of a result."""

    order: Tensor
    offsets: Tensor

    def sum(self, products: Tensor) -> Tensor:
        """[n, C] to [rows, C]."""
        return F.embedding_bag(self.order, products, self.offsets, mode="sum")


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of visible tiles, block by block."""

    blocks: tuple[Block, ...]
    counts: list[int]
    """Pairs of each block."""
    source: Tensor
    """Rows that are read: (block, pair, position)."""
    target: Tensor
    """Rows that are written: (block, pair, position)."""
    written: Bag
    """From the products, in the order of `target`, to the output's rows."""
    read: Bag
    """From their gradients, in the order of `source`, to the input's rows."""
    taps: Tensor
    """The blocks' taps, one after the other."""
    own: bool
    """Whether the first block is every tile itself, with all that it reads and writes, in order."""

    def reads(self, rows: Tensor) -> list[Tensor]:
        """The input's rows that the blocks read, as a matrix for each block: one pair per row."""
        return self._parts(rows, self.source, [block.reads for block in self.blocks])

    def writes(self, rows: Tensor) -> list[Tensor]:
        """The output's rows that the blocks write, as a matrix for each block: one pair per row."""
        return self._parts(rows, self.target, [block.writes for block in self.blocks])

    def _parts(self, rows: Tensor, index: Tensor, places: list[tuple[int, ...]]) -> list[Tensor]:
        own = self.counts[0] * len(places[0]) if self.own else 0
        if not own:
            return self.cut(rows.index_select(0, index), places)
        others = self.cut(rows.index_select(0, index[own:]), places[1:])
        return [rows.view(self.counts[0], -1), *others]

    def cut(self, rows: Tensor, places: list[tuple[int, ...]]) -> list[Tensor]:
        """Rows of the last blocks, one after the other, as a matrix for each: one pair per row."""
        counts = self.counts[-len(places) :]
        parts = rows.split([count * len(place) for count, place in zip(counts, places, strict=True)])
        shapes = zip(parts, counts, places, strict=True)
        return [part.view(count, len(place) * rows.shape[1]) for part, count, place in shapes]

    @property
    def _single(self) -> bool:
        """Whether every block is one tap: between single positions."""
        return all(len(block.taps) == 1 for block in self.blocks)

    def matrices(self, weight: Tensor) -> list[Tensor]:
        """[K, C, k, k] to a matrix [positions read x C, positions written x K] for each block; of single positions
        views of the weights."""
        if self._single:
            return [matrix.T for matrix in self._of_taps(weight)]
        outputs, inputs = weight.shape[:2]
        kernel = weight.new_zeros(weight.shape[2] * weight.shape[3] + 1, inputs, outputs)
        kernel[:-1] = weight.permute(2, 3, 1, 0).flatten(0, 1)
        entries = kernel.index_select(0, self.taps).split([len(block.taps) for block in self.blocks])
        return [
            part.view(len(block.reads), len(block.writes), inputs, outputs).transpose(1, 2).flatten(2).flatten(0, 1)
            for part, block in zip(entries, self.blocks, strict=True)
        ]

    def gradient(self, reads: list[Tensor], writes: list[Tensor], weight: Tensor) -> Tensor:
        """Of the weights [K, C, k, k], from what the blocks read and the gradients of what they write."""
        if self._single:
            result = torch.zeros_like(weight)
            _multiply([one.T for one in writes], reads, self._of_taps(result))
            return result
        return self._kernel([one.T @ two for one, two in zip(reads, writes, strict=True)], weight.shape)

    def _of_taps(self, weight: Tensor) -> list[Tensor]:
        """The matrix [K, C] of each block's tap, a view."""
        side = weight.shape[3]
        return [weight[:, :, block.taps[0] // side, block.taps[0] % side] for block in self.blocks]

    def _kernel(self, matrices: list[Tensor], shape: torch.Size) -> Tensor:
        """The transpose of `matrices`: what the entries of each tap sum to, [K, C, k, k]."""
        outputs, inputs, height, width = shape
        entries = [
            matrix.view(len(block.reads), inputs, len(block.writes), outputs).transpose(1, 2).flatten(0, 1)
            for matrix, block in zip(matrices, self.blocks, strict=True)
        ]
        result = matrices[0].new_zeros(height * width + 1, inputs * outputs)
        result.index_add_(0, self.taps, torch.cat(entries).flatten(1))
        return result[:-1].view(height, width, inputs, outputs).permute(3, 2, 0, 1)


def pairs_of(tiles: Tiles, outputs: Tiles, side: int, window: Window) -> Pairs:
    """The pairs of a convolution from `tiles` with `side` positions per side to `outputs`.

    `outputs` are the same tiles, or single positions of a coarser map if `tiles` are single positions too.
    """
    return tiles.cached(("pairs", outputs.hidden.shape, side, window), lambda: _pairs(tiles, outputs, side, window))


def _pairs(tiles: Tiles, outputs: Tiles, side: int, window: Window) -> Pairs:
    """By NumPy, which selects many times faster than torch on a CPU, in 32 bits where they do."""
    all_blocks, out = blocks(side, window), max(side // window.stride, 1)
    step = 1 if tiles is outputs else window.stride
    most = len(outputs.place) * sum(max(len(block.reads), len(block.writes)) for block in all_blocks)
    kind = np.int32 if most < 2**31 else np.int64
    number = _neighbors(tiles, outputs, step, np.array([block.offset for block in all_blocks]), kind)
    targets = [np.flatnonzero(row >= 0).astype(number.dtype) for row in number]
    sources = [row.take(target) for row, target in zip(number, targets, strict=True)]
    reads, writes = ([np.array(getattr(b, which)) for b in all_blocks] for which in ("reads", "writes"))
    return Pairs(
        all_blocks,
        [len(target) for target in targets],
        _spread(sources, side**2, reads),
        _spread(targets, out**2, writes),
        _bag(targets, len(outputs.place), out**2, writes),
        _bag(sources, len(tiles.place), side**2, reads),
        torch.tensor([tap for b in all_blocks for tap in b.taps]),
        tiles is outputs and all_blocks[0][:3] == ((0, 0), tuple(range(side**2)), tuple(range(out**2))),
    )


def _neighbors(tiles: Tiles, outputs: Tiles, step: int, offsets: NDArray, kind: type) -> NDArray:
    """[blocks, V]: ordinal of the tile that each output reads at each offset; -1 where it is hidden or outside."""
    far = int(np.abs(offsets).max())
    images, rows, columns = tiles.hidden.shape
    image, *place = outputs.place.numpy().T
    beyond = max(0, step * (outputs.hidden.shape[1] - 1) - rows, step * (outputs.hidden.shape[2] - 1) - columns)
    reach = far + beyond
    width, height = columns + 2 * reach, rows + 2 * reach
    number: NDArray = np.full((images, height, width), -1, kind)
    number[:, reach : reach + rows, reach : reach + columns] = tiles.number.numpy()
    first = (image * height + place[0] * step + reach) * width + place[1] * step + reach
    return number.ravel().take(offsets[:, :1] * width + offsets[:, 1:] + first)


def _spread(tiles: list[NDArray], positions: int, places: list[NDArray]) -> Tensor:
    """Rows of the places of each block in the tiles of its pairs."""
    parts = [
        (tile[:, None] * positions + place.astype(tile.dtype)).ravel()
        for tile, place in zip(tiles, places, strict=True)
    ]
    return torch.from_numpy(np.concatenate(parts))


def _bag(tiles: list[NDArray], count: int, positions: int, places: list[NDArray]) -> Bag:
    """For each position of each of `count` tiles the products that belong to it: at most one per block, in the order of
    blocks."""
    first, begin = np.full((count, len(places)), -1, tiles[0].dtype), 0
    for block, (tile, place) in enumerate(zip(tiles, places, strict=True)):
        end = begin + len(tile) * len(place)
        first[tile, block] = np.arange(begin, end, len(place), dtype=first.dtype)
        begin = end
    entries = sorted((at, block, rank) for block, place in enumerate(places) for rank, at in enumerate(place))
    at, which, rank = np.array(entries, first.dtype).T
    products = first.take(which, axis=1)
    there = products >= 0
    products += rank
    belongs = np.zeros((len(places), positions), np.float32)
    belongs[which, at] = 1
    sizes = ((first >= 0).astype(np.float32) @ belongs).astype(first.dtype).ravel()
    return Bag(torch.from_numpy(products[there]), torch.from_numpy(sizes.cumsum(dtype=sizes.dtype) - sizes))


class ByPairs(torch.autograd.Function):
    """The convolution of the rows of small tiles, float32 or float64."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None, pairs: Pairs) -> Tensor:
        """[m, C] to [n, K]."""
        rows = rows.contiguous()
        ctx.save_for_backward(rows, weight)
        ctx.pairs, ctx.has_bias = pairs, bias is not None
        products = rows.new_empty(len(pairs.target), len(weight))
        into = pairs.cut(products, [block.writes for block in pairs.blocks])
        _multiply(pairs.reads(rows), pairs.matrices(weight), into)
        result = pairs.written.sum(products)
        return result if bias is None else result.add_(bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of rows, weight and bias."""
        rows, weight = ctx.saved_tensors
        pairs: Pairs = ctx.pairs
        written = pairs.writes(gradient.contiguous())
        of_rows = of_weight = None
        if ctx.needs_input_grad[0]:
            products = rows.new_empty(len(pairs.source), rows.shape[1])
            into = pairs.cut(products, [block.reads for block in pairs.blocks])
            _multiply(written, [matrix.T for matrix in pairs.matrices(weight)], into)
            of_rows = pairs.read.sum(products)
        if ctx.needs_input_grad[1]:
            of_weight = pairs.gradient(pairs.reads(rows), written, weight)
        return of_rows, of_weight, gradient.sum(0) if ctx.has_bias else None, None


def _multiply(one: list[Tensor], two: list[Tensor], out: list[Tensor]) -> None:
    """Matrix products, written in place."""
    for left, right, result in zip(one, two, out, strict=True):
        torch.mm(left, right, out=result)

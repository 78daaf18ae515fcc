"""What a convolution's window reads and writes between neighboring tiles: the same for every batch.

A tile of t x t positions with C channels is a vector of t·t·C numbers. Its contribution to itself, and to each of
its neighbors, is a block: a matrix made of the kernel's taps.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unmask.encoders.packed.tiles import Window


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


class Alike(NamedTuple):
    """Blocks that read and write as many positions."""

    numbers: tuple[int, ...]
    """Which of the window's blocks."""
    shape: tuple[int, int]
    """Positions that each reads and writes."""
    taps: Tensor
    """Of these blocks, one after the other."""


@dataclass(frozen=True, eq=False)
class Places:
    """The positions that the blocks read, or those that they write."""

    squared: int
    """Positions of a tile."""
    of_block: tuple[NDArray[np.int32], ...]
    """Positions of each block."""
    block: NDArray[np.int32]
    """The block of each entry: a position of a block, sorted by position and then by block."""
    rank: NDArray[np.int32]
    """Which of its block's positions each entry is."""
    belongs: NDArray[np.float32]
    """[blocks, positions]: 1 where a position is one of the block's."""

    @classmethod
    def of(cls, places: list[tuple[int, ...]], squared: int) -> "Places":
        """From the positions of each block."""
        entries = sorted((at, block, rank) for block, place in enumerate(places) for rank, at in enumerate(place))
        at, block, rank = np.array(entries, np.int32).T
        belongs = np.zeros((len(places), squared), np.float32)
        belongs[block, at] = 1
        return cls(squared, tuple(np.array(place, np.int32) for place in places), block, rank, belongs)

    @property
    def counts(self) -> list[int]:
        """Positions of each block."""
        return [len(place) for place in self.of_block]


@dataclass(frozen=True, eq=False)
class Blocks:
    """The blocks of a window over tiles of a size."""

    offsets: NDArray[np.int64]
    """[blocks, 2]: rows and columns from the tile that is written to the one that is read."""
    taps: tuple[int, ...] | None
    """The kernel's tap of each block, if every block is between single positions."""
    alike: tuple[Alike, ...]
    read: Places
    written: Places
    own: bool
    """Whether the first block is a tile itself with all that it reads and writes, in order."""
    mirrored: bool
    """Whether, besides, each other block has an opposite, as far from the end as it is from the beginning, that reads
    what it writes."""

    @classmethod
    @cache
    def of(cls, side: int, window: Window) -> "Blocks":
        """Of tiles with `side` positions per side."""
        found, out = blocks(side, window), max(side // window.stride, 1)
        shapes: dict[tuple[int, int], list[int]] = defaultdict(list)
        for number, block in enumerate(found):
            shapes[len(block.reads), len(block.writes)].append(number)
        alike = [
            Alike(tuple(numbers), shape, torch.tensor([tap for number in numbers for tap in found[number].taps]))
            for shape, numbers in shapes.items()
        ]
        own = found[0][:3] == ((0, 0), tuple(range(side**2)), tuple(range(out**2)))
        opposite = [((-one.offset[0], -one.offset[1]), one.writes, one.reads) for one in found[:0:-1]]
        return cls(
            np.array([block.offset for block in found]),
            tuple(block.taps[0] for block in found) if side == 1 else None,
            tuple(alike),
            Places.of([block.reads for block in found], side**2),
            Places.of([block.writes for block in found], out**2),
            own,
            own and len(found) > 1 and opposite == [one[:3] for one in found[1:]],
        )

    def in_order(self, groups: Sequence[Tensor]) -> list[Tensor]:
        """The matrix of each block, from those of the blocks `alike`, [blocks, rows, columns] each."""
        pairs = zip(self.alike, groups, strict=True)
        of_block = {n: matrix for one, group in pairs for n, matrix in zip(one.numbers, group.unbind(), strict=True)}
        return [of_block[number] for number in range(len(of_block))]

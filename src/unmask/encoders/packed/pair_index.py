"""Which visible tiles of a batch are neighbors, and the rows that a convolution moves between them.

By NumPy, which selects many times faster than torch on a CPU, in 32 bits where they do. Selecting by numbers is faster
than by a mask, whose branches a processor cannot foresee.
"""

from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from unmask.encoders.packed.pair_blocks import Blocks, Places
from unmask.encoders.packed.pairs import Bag, Ends, Pairs
from unmask.encoders.packed.tiles import Tiles, Window

Ordinals = NDArray[Any]
"""Of tiles, int32 or int64."""


class Neighbors(NamedTuple):
    """Pairs of visible tiles, for each offset: which is written, and which is read."""

    written: tuple[Ordinals, ...]
    read: tuple[Ordinals, ...]


def pairs_of(tiles: Tiles, outputs: Tiles, side: int, window: Window) -> Pairs:
    """The pairs of a convolution from `tiles` with `side` positions per side to `outputs`.

    `outputs` are the same tiles, or single positions of a coarser map if `tiles` are single positions too.
    """
    return tiles.cached(("pairs", outputs.hidden.shape, side, window), lambda: _pairs(tiles, outputs, side, window))


def _pairs(tiles: Tiles, outputs: Tiles, side: int, window: Window) -> Pairs:
    blocks = Blocks.of(side, window)
    step = 1 if tiles is outputs else window.stride
    most = len(outputs.place) * sum(map(max, zip(blocks.read.counts, blocks.written.counts, strict=True)))
    kind = np.int32 if most < 2**31 else np.int64
    mirrored = tiles is outputs and blocks.mirrored
    key = ("neighbors", outputs.hidden.shape, step, kind, mirrored, blocks.offsets.tobytes())
    find = _mirrored_neighbors if mirrored else _neighbors
    near = tiles.cached(key, lambda: find(tiles, outputs, step, blocks.offsets, kind))
    own = tiles is outputs and blocks.own
    written = _ends(near.written, blocks.written, len(outputs.place), own=own)
    read = written.opposite if mirrored else _ends(near.read, blocks.read, len(tiles.place), own=own)
    return Pairs(blocks, read, written)


def _neighbors(tiles: Tiles, outputs: Tiles, step: int, offsets: NDArray[np.int64], kind: type) -> Neighbors:
    """The visible tiles at each of [blocks, 2] `offsets` from an output, `step` tiles of the input apart."""
    images, rows, columns = tiles.hidden.shape
    image, *place = outputs.place.numpy().T
    beyond = max(0, step * (outputs.hidden.shape[1] - 1) - rows, step * (outputs.hidden.shape[2] - 1) - columns)
    reach = int(np.abs(offsets).max()) + beyond
    width, height = columns + 2 * reach, rows + 2 * reach
    number: Ordinals = np.full((images, height, width), -1, kind)
    number[:, reach : reach + rows, reach : reach + columns] = tiles.number.numpy()
    first = (image * height + place[0] * step + reach) * width + place[1] * step + reach
    found = number.ravel().take(offsets[:, :1] * width + offsets[:, 1:] + first)
    written: tuple[Ordinals, ...] = tuple(np.flatnonzero(row >= 0).astype(kind) for row in found)
    return Neighbors(written, tuple(row.take(which) for row, which in zip(found, written, strict=True)))


def _mirrored_neighbors(tiles: Tiles, outputs: Tiles, step: int, offsets: NDArray[np.int64], kind: type) -> Neighbors:
    """`_neighbors` of the tiles among themselves: a pair at an offset is a pair at the opposite one, in the same order,
    because tiles are numbered in reading order."""
    half = len(offsets) // 2
    written, read = _neighbors(tiles, outputs, step, offsets[1 : half + 1], kind)
    own: Ordinals = np.arange(len(tiles.place), dtype=kind)
    return Neighbors((own, *written, *read[::-1]), (own, *read, *written[::-1]))


def _ends(tiles: tuple[Ordinals, ...], places: Places, count: int, *, own: bool) -> Ends:
    """The rows of the pairs' tiles, of `count` tiles."""
    blocks = zip(tiles, places.of_block, strict=True)
    rows = [_rows(tile, place, places.squared) for tile, place in islice(blocks, int(own), None)]
    if own:
        rows.insert(0, torch.empty(0, dtype=torch.int64))
    return Ends(rows, _bag(tiles, places, count), [len(tile) for tile in tiles], places.counts, own)


def _rows(tile: Ordinals, place: Ordinals, squared: int) -> torch.Tensor:
    """Of places in tiles of so many positions: (tile, place)."""
    if squared == 1:
        return torch.from_numpy(tile)
    return torch.from_numpy((tile[:, None] * tile.dtype.type(squared) + place.astype(tile.dtype, copy=False)).ravel())


def _bag(tiles: tuple[Ordinals, ...], places: Places, count: int) -> Bag:
    """For each position of each of `count` tiles the products that belong to it: at most one per block, in the order of
    blocks."""
    first, begin = np.full((count, len(tiles)), -1, tiles[0].dtype), 0
    for block, (tile, place) in enumerate(zip(tiles, places.of_block, strict=True)):
        end = begin + len(tile) * len(place)
        first[tile, block] = np.arange(begin, end, len(place), dtype=first.dtype)
        begin = end
    products = first.take(places.block, axis=1)
    there = np.flatnonzero(products >= 0)
    products += places.rank
    sizes = ((first >= 0).astype(np.float32) @ places.belongs).astype(first.dtype).ravel()
    order = torch.from_numpy(products.ravel().take(there))
    return Bag(order, torch.from_numpy(sizes.cumsum(dtype=sizes.dtype) - sizes))

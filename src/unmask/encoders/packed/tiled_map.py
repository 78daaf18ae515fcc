"""A map kept as tiles of visible cells."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from unmask.encoders.dense.layout import UnsupportedError
from unmask.encoders.packed.gather import Take, as_rows, as_tiles
from unmask.encoders.packed.tiles import Tiles, Window


@dataclass(frozen=True, eq=False)
class Packed:
    """[B, C, H, W] as [V, C, t, t], or [B, H, W, C] as [V, t, t, C]."""

    values: Tensor
    tiles: Tiles
    last: bool = False
    """Whether channels are the last dimension (a permuted map)."""

    @property
    def side(self) -> int:
        """Positions a side of a tile."""
        return self.values.shape[1 if self.last else 2]

    @property
    def shape(self) -> torch.Size:
        """Shape of the map that this stands for."""
        batch, rows, columns = self.tiles.hidden.shape
        side, channels = self.side, self.values.shape[3 if self.last else 1]
        size = (rows * side, columns * side)
        return torch.Size((batch, *size, channels) if self.last else (batch, channels, *size))

    @property
    def spatial(self) -> tuple[int, int]:
        """Dimensions of height and width."""
        return (1, 2) if self.last else (2, 3)

    def with_values(self, values: Tensor) -> "Packed":
        """Other values on the same cells."""
        return replace(self, values=values)

    def one_by_one(self) -> "Packed":
        """The same map with every visible position as a tile of its own."""
        if self.side == 1:
            return self
        tiles = self.tiles.positions(*self.shape[2:])
        rows = Take.apply(as_rows(self.values), self.tiles.one_by_one(self.side, tiles), 0.0)
        return Packed(as_tiles(rows, 1), tiles)

    def coarser(self, window: Window, *, ceil: bool = False) -> Tiles:
        """The positions of the map that a strided window leaves."""
        _, _, height, width = self.shape
        return self.tiles.positions(window.outputs(height, ceil=ceil), window.outputs(width, ceil=ceil))


def require_tiles(x: Packed) -> int:
    """Side of the tiles of a [B, C, H, W] map."""
    if x.last:
        raise UnsupportedError("it needs a [B, C, H, W] map")
    return x.side

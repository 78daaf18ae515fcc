"""Masked CNNs, packed: the model's own forward on tiles of visible cells."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, overload

import torch
from torch import Tensor, nn

from unmask.encoders.convolutional import DenseEncoder
from unmask.encoders.dense.layout import UnsupportedError
from unmask.encoders.packed.gather import Take, as_rows
from unmask.encoders.packed.tensor import PackedTensor
from unmask.encoders.packed.tiled_map import Packed
from unmask.encoders.packed.tiles import Tiles
from unmask.encoders.protocol import Encoding
from unmask.encoders.sizes import require_mask
from unmask.encoders.stages import captured, evaluating, explain, first_kernel
from unmask.errors import UserError
from unmask.masking import expand


class PackedEncoder(nn.Module):
    """Equal to the dense reference, with work and memory proportional to the visible cells.

    Down to the stage where a position covers a cell, maps are kept as tiles of visible cells; from there on as visible
    positions; the deepest maps of small cells have few hidden positions.

    Raises:
        UserError: a cell that is not a multiple of the first stride, or an operation that is not on the whitelist.
    """

    execution = "packed"

    def __init__(self, dense: DenseEncoder) -> None:
        super().__init__()
        self.model = dense.model
        self.cell, self.grid = dense.cell, dense.grid
        self.channels, self.strides = dense.channels, dense.strides
        self._stages = dense.stages
        if self.cell % self.strides[0]:
            name = type(self.model).__name__
            raise UserError(
                f"cell = {self.cell} is not a multiple of the first stride {self.strides[0]} of {name}: use dense"
            )
        self._probe()

    def forward(self, images: Tensor, hidden: Tensor) -> Encoding:
        """See `Encoder.__call__`. Maps and their hidden positions are unpacked when they are read."""
        require_mask(images, hidden, self.cell)
        stages = self._run(images, hidden)
        maps, gone = ([partial(of, stage) for stage in stages] for of in (_dense_map, _hidden_positions))
        return Encoding(_OnDemand(maps), _OnDemand(gone))

    def _run(self, images: Tensor, hidden: Tensor) -> list[Packed]:
        tiles = Tiles.of(hidden)
        pixels = PackedTensor.wrap(Packed(_cut(images, tiles, self.cell), tiles))
        try:
            with captured(self.model, self._stages, _snapshot) as stages:
                final = _snapshot(self.model.forward_features(pixels))  # type: ignore[operator]
        except UnsupportedError as error:
            raise UserError(explain(self.model, error, done="packed", fix="use dense execution")) from None
        maps = [stage for stage in stages if stage is not None]
        if final is not None and final.shape[2:] == maps[-1].shape[2:]:
            maps[-1] = final
        return maps

    @torch.no_grad()
    def _probe(self) -> None:
        """Run one pass over one image: an operation that is not on the whitelist is found before training.

        A single cell suffices, unless positions come to cover several.
        """
        like, grid = first_kernel(self.model), self.grid if any(self.cell % s for s in self.strides) else (1, 1)
        with evaluating(self.model):
            images = torch.zeros(1, like.shape[1], grid[0] * self.cell, grid[1] * self.cell)
            self._run(images.to(like), torch.zeros(1, *grid, dtype=torch.bool, device=like.device))


class _OnDemand(Sequence[Tensor]):
    """Tensors that are made when they are read, once."""

    def __init__(self, makers: Sequence[Callable[[], Tensor]]) -> None:
        self._makers = makers
        self._made: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self._makers)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Tensor]: ...

    def __getitem__(self, index: int | slice) -> Tensor | Sequence[Tensor]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        place = range(len(self))[index]
        if place not in self._made:
            self._made[place] = self._makers[place]()
        return self._made[place]


def _cut(images: Tensor, tiles: Tiles, cell: int) -> Tensor:
    """[B, C, H, W] to the visible cells' pixels, channels-last [V, C, cell, cell]."""
    batch, channels, height, width = images.shape
    grid = images.reshape(batch, channels, height // cell, cell, width // cell, cell).permute(0, 2, 4, 3, 5, 1)
    image, row, column = tiles.place.unbind(1)
    return grid[image, row, column].permute(0, 3, 1, 2)


def _dense_map(stage: Packed) -> Tensor:
    """[B, C, H, W], 0 where it is hidden."""
    batch, channels, height, width = stage.shape
    rows = Take.apply(as_rows(stage.values), stage.tiles.scatter(stage.side), 0.0)
    return rows.reshape(batch, height, width, channels).permute(0, 3, 1, 2)


def _hidden_positions(stage: Packed) -> Tensor:
    """bool[B, H, W]."""
    return stage.tiles.hidden if stage.side == 1 else expand(stage.tiles.hidden, *stage.shape[2:])


def _snapshot(value: Any) -> Packed | None:
    if not isinstance(value, PackedTensor):
        return None
    packed = value.packed
    return Packed(packed.values.permute(0, 3, 1, 2), packed.tiles) if packed.last else packed

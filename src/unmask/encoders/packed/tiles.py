"""The places of a batch's visible squares, and the rows that a window around each of them reads.

A row is the channels of one position. Rows of tiles are ordered by visible square, then y, then x inside it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from unmask.masking import expand

K = TypeVar("K")


@dataclass(frozen=True, eq=False)
class Rows:
    """A gather from rows to rows, and its transpose."""

    source: Tensor
    """[n]: row to copy from; one past the last if there is none: outside the image or in a hidden cell."""
    rows: int
    """Rows to copy from."""

    @classmethod
    def of(cls, numbers: Tensor, rows: int) -> "Rows":
        """From row numbers, negative where there is no source."""
        numbers = numbers.flatten()
        return cls(torch.where(numbers < 0, rows, numbers), rows)

    @property
    def found(self) -> Tensor:
        """bool[n]: whether there is a source."""
        return self.source < self.rows

    @cached_property
    def order(self) -> Tensor:
        """Positions that have a source, sorted by it. Needed by gradients only."""
        if self.source.device.type == "cpu":  # NumPy sorts twice as fast
            order = torch.from_numpy(np.argsort(self.source.numpy(), kind="stable"))
        else:
            order = torch.argsort(self.source, stable=True)
        return order[: int(self.found.sum())]

    @cached_property
    def offsets(self) -> Tensor:
        """[rows]: where in `order` the positions of each source row start."""
        counts = torch.bincount(self.source, minlength=self.rows + 1)[:-1]
        return counts.cumsum(0) - counts


class Window(NamedTuple):
    """What each output of a convolution or pool reads, along height and width alike."""

    kernel: int
    stride: int
    padding: int
    dilation: int = 1

    @property
    def reach(self) -> int:
        """Positions from the first to the last that one output reads."""
        return self.dilation * (self.kernel - 1)

    @property
    def keeps_borders(self) -> bool:
        """Whether outputs are aligned with what they read: a map of H positions, a multiple of the stride, gives
        H / stride."""
        return 0 <= self.reach - 2 * self.padding < self.stride

    def outputs(self, size: int, *, ceil: bool = False) -> int:
        """Outputs along a side of so many positions, as the library counts them."""
        room = size + 2 * self.padding - self.reach - 1
        number = (-(-room // self.stride) if ceil else room // self.stride) + 1
        begins_outside = ceil and (number - 1) * self.stride >= size + self.padding
        return number - begins_outside


@dataclass(frozen=True, eq=False)
class Tiles:
    """Visible squares of a map: the visible cells, or the visible positions if one covers several cells.

    Index maps are cached by side and window, tiles of other grids by their size, so that all layers of a resolution
    share them.
    """

    hidden: Tensor
    """bool[B, rows, columns] of squares."""
    number: Tensor
    """[B, rows, columns]: ordinal of a visible square, -1 for hidden ones."""
    place: Tensor
    """[V, 3]: image, row and column of each visible square."""
    cells: Tensor
    """bool[B, Hc, Wc]: the mask's own cells."""
    _grids: dict[tuple[int, ...], "Tiles"]
    _indices: dict[tuple[object, ...], Any] = field(default_factory=dict)

    @classmethod
    def of(cls, cells: Tensor) -> "Tiles":
        """The visible cells, numbered in reading order."""
        return cls._numbered(cells, cells, {})

    @classmethod
    def _numbered(cls, hidden: Tensor, cells: Tensor, grids: dict[tuple[int, ...], "Tiles"]) -> "Tiles":
        visible = ~hidden
        number = visible.flatten().cumsum(0).reshape(hidden.shape) - 1
        grids[hidden.shape[1:]] = result = cls(
            hidden, torch.where(visible, number, -1), visible.nonzero(), cells, grids
        )
        return result

    def positions(self, height: int, width: int) -> "Tiles":
        """The visible positions of a map of the whole image: those that cover a visible cell, one tile each."""
        found = self._grids.get((height, width))
        return found or Tiles._numbered(expand(self.cells, height, width), self.cells, self._grids)

    @property
    def image(self) -> Tensor:
        """[V]: which image each visible square belongs to."""
        return self.place[:, 0]

    def cached(self, key: tuple[object, ...], make: Callable[[], K]) -> K:
        """The result of `make`, computed once."""
        if key not in self._indices:
            self._indices[key] = make()
        found: K = self._indices[key]
        return found

    def halo(self, side: int, window: Window) -> Rows:
        """Rows that the outputs of a tile read together: a square that starts `padding` above and left of it."""
        size = (side // window.stride - 1) * window.stride + window.reach + 1

        def make() -> Rows:
            span = torch.arange(size, device=self.hidden.device) - window.padding
            return self._around(side, span[:, None], span[None, :])

        return self.cached(("halo", side, window.padding, size), make)

    def taps(self, side: int, window: Window) -> Rows:
        """Rows that each output of a convolution reads, in the order (square, y, x, kernel y, kernel x)."""

        def make() -> Rows:
            out, device = side // window.stride, self.hidden.device
            output = torch.arange(out, device=device) * window.stride - window.padding
            span = (output[:, None] + torch.arange(window.kernel, device=device) * window.dilation).flatten()
            y, x = span.view(out, 1, window.kernel, 1), span.view(1, out, 1, window.kernel)
            return self._around(side, y, x)

        return self.cached(("taps", side, window), make)

    def taps_of(self, outputs: "Tiles", window: Window) -> Rows:
        """Of single positions: rows that each position of a coarser map reads, in the order (square, kernel y, x)."""

        def make() -> Rows:
            span = torch.arange(window.kernel, device=self.hidden.device) * window.dilation - window.padding
            y, x = (outputs.place[:, axis, None] * window.stride + span for axis in (1, 2))
            return self._rows(1, y[:, :, None], x[:, None, :], outputs.image[:, None, None])

        return self.cached(("taps of", outputs.hidden.shape, window), make)

    def one_by_one(self, side: int, positions: "Tiles") -> Rows:
        """Rows in the order of `positions`, the positions of the same map as tiles of their own."""
        image, y, x = positions.place.unbind(1)
        return self.cached(("one by one", side), lambda: self._rows(side, y, x, image))

    def scatter(self, side: int) -> Rows:
        """Rows of the dense map [B, H, W]."""

        def make() -> Rows:
            span = torch.arange(side, device=self.hidden.device)
            within = span[:, None, None] * side + span
            cell = self.number[:, :, None, :, None]
            rows = torch.where(cell < 0, -1, cell * side * side + within)
            return Rows.of(rows, len(self.place) * side * side)

        return self.cached(("scatter", side), make)

    def spots(self, side: int) -> Tensor:
        """[V·t·t]: where in the dense map [B, H, W], flat, each row of the tiles lies."""

        def make() -> Tensor:
            height, width = (number * side for number in self.hidden.shape[1:])
            span = torch.arange(side, device=self.hidden.device)
            first = (self.image * height + self.place[:, 1] * side) * width + self.place[:, 2] * side
            return (first[:, None, None] + span[:, None] * width + span).flatten()

        return self.cached(("spots", side), make)

    def _around(self, side: int, y: Tensor, x: Tensor) -> Rows:
        """Row numbers at y and x (broadcast together) from the first position of each visible square: the squares
        around it are looked up once, their positions are the same for all."""
        (above, y), (left, x) = ((at // side, at % side) for at in (y, x))
        reach = int(max(above.abs().max(), left.abs().max()))
        span = 2 * reach + 1
        number = pad(self.number, (reach,) * 4, value=-1)
        _, height, width = number.shape
        steps = torch.arange(span, device=number.device)
        first = (self.image * height + self.place[:, 1]) * width + self.place[:, 2]
        squares = (first[:, None] + (steps[:, None] * width + steps).flatten()).flatten()
        near = number.flatten().index_select(0, squares).view(-1, span**2) * side**2  # a hidden square stays below 0
        cell = near.index_select(1, ((above + reach) * span + left + reach).flatten())
        return Rows.of(cell + (y * side + x).flatten(), len(self.place) * side**2)

    def _rows(self, side: int, y: Tensor, x: Tensor, image: Tensor) -> Rows:
        """Row numbers at global positions y and x of images (broadcast together)."""
        _, rows, columns = self.hidden.shape
        inside = (y >= 0) & (y < rows * side) & (x >= 0) & (x < columns * side)
        cell = self.number[image, (y // side).clamp(0, rows - 1), (x // side).clamp(0, columns - 1)]
        row = (cell * side + y % side) * side + x % side
        return Rows.of(torch.where(inside & (cell >= 0), row, -1), len(self.place) * side * side)

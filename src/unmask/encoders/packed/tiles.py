"""Where the visible cells of a batch are, and which rows a window around each of them reads.

A row is the channels of one position. Rows of tiles are ordered by visible cell, then y, then x inside the cell.
"""

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Rows:
    """A gather from rows to rows, and its transpose."""

    source: Tensor
    """[n]: row to copy from; 0 where there is none."""
    missing: Tensor
    """Positions in `source` that have no source: outside the image or in a hidden cell."""
    numbers: Tensor
    """[n]: row to copy from; -1 where there is none."""
    rows: int
    """Rows to copy from."""

    @classmethod
    def of(cls, numbers: Tensor, rows: int) -> "Rows":
        """From row numbers with -1 where there is no source."""
        numbers = numbers.flatten()
        return cls(numbers.clamp(min=0), (numbers < 0).nonzero()[:, 0], numbers, rows)

    @cached_property
    def order(self) -> Tensor:
        """Positions that have a source, sorted by it. Needed by gradients only."""
        return torch.argsort(self.numbers, stable=True)[len(self.missing) :]

    @cached_property
    def offsets(self) -> Tensor:
        """[rows]: where in `order` the positions of each source row start."""
        counts = torch.bincount(self.numbers + 1, minlength=self.rows + 1)[1:]
        return counts.cumsum(0) - counts


@dataclass(frozen=True, eq=False)
class Window:
    """A square window of positions relative to a tile, sampled with a stride."""

    before: int
    """Rows above (and columns left of) the tile that the first output reads."""
    size: int
    """Positions a side of what is read."""


@dataclass(frozen=True, eq=False)
class Tiles:
    """The visible cells of bool[B, Hc, Wc], with index maps cached by side and window."""

    hidden: Tensor
    number: Tensor
    """[B, Hc, Wc]: ordinal of a visible cell, -1 for hidden ones."""
    place: Tensor
    """[V, 3]: image, row and column of each visible cell."""
    _windows: dict[tuple[int, ...], Rows] = field(default_factory=dict)

    @classmethod
    def of(cls, hidden: Tensor) -> "Tiles":
        """Number the visible cells in reading order."""
        visible = ~hidden
        number = visible.flatten().cumsum(0).reshape(hidden.shape) - 1
        return cls(hidden, torch.where(visible, number, -1), visible.nonzero())

    @property
    def image(self) -> Tensor:
        """[V]: which image each visible cell belongs to."""
        return self.place[:, 0]

    def window(self, side: int, before: int, size: int) -> Rows:
        """Rows of a size x size window that starts `before` positions above and left of each tile."""
        key = (side, before, size)
        if key not in self._windows:
            span = torch.arange(size, device=self.hidden.device) - before
            y = self.place[:, 1, None] * side + span
            x = self.place[:, 2, None] * side + span
            self._windows[key] = self._rows(side, y[:, :, None], x[:, None, :])
        return self._windows[key]

    def taps(self, side: int, kernel: int, stride: int, padding: int, dilation: int) -> Rows:
        """Rows that each output of a convolution reads, in the order (cell, y, x, kernel y, kernel x)."""
        key = (side, kernel, stride, padding, dilation)
        if key not in self._windows:
            device = self.hidden.device
            output = torch.arange(side // stride, device=device) * stride - padding
            span = (output[:, None] + torch.arange(kernel, device=device) * dilation).flatten()
            y = (self.place[:, 1, None] * side + span).reshape(-1, side // stride, 1, kernel, 1)
            x = (self.place[:, 2, None] * side + span).reshape(-1, 1, side // stride, 1, kernel)
            self._windows[key] = self._rows(side, y, x)
        return self._windows[key]

    def scatter(self, side: int) -> Rows:
        """Rows of the dense map [B, H, W]."""
        key = (side,)
        if key not in self._windows:
            height, width = self.hidden.shape[1] * side, self.hidden.shape[2] * side
            y = torch.arange(height, device=self.hidden.device)[None, :, None]
            x = torch.arange(width, device=self.hidden.device)[None, None, :]
            images = torch.arange(len(self.hidden), device=self.hidden.device)[:, None, None]
            self._windows[key] = self._rows(side, y, x, images)
        return self._windows[key]

    def _rows(self, side: int, y: Tensor, x: Tensor, image: Tensor | None = None) -> Rows:
        """Row numbers at global positions y and x (broadcast together) of each visible cell's image."""
        _, rows, columns = self.hidden.shape
        image = self.image.reshape(-1, *[1] * (y.ndim - 1)) if image is None else image
        inside = (y >= 0) & (y < rows * side) & (x >= 0) & (x < columns * side)
        cell = self.number[image, (y // side).clamp(0, rows - 1), (x // side).clamp(0, columns - 1)]
        row = (cell * side + y % side) * side + x % side
        return Rows.of(torch.where(inside & (cell >= 0), row, -1), len(self.place) * side * side)

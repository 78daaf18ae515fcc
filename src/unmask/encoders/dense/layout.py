"""A tensor with its mask: values, and which of them are hidden.

The mask is explicit data. It is never inferred from values: a visible activation may well be 0.
"""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from unmask.masking import expand


class UnsupportedError(Exception):
    """An operation that a masked tensor does not support; becomes a `UserError` that names the module."""


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of a batch, bool[B, Hc, Wc], and their projections to the grids within a network."""

    hidden: Tensor
    _seen: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    def at(self, height: int, width: int) -> Tensor:
        """bool[B, height, width]: hidden positions of a grid over the whole image."""
        if (height, width) not in self._seen:
            self._seen[height, width] = expand(self.hidden, height, width)
        return self._seen[height, width]


@dataclass(frozen=True, eq=False)
class Layout:
    """Where a tensor is hidden."""

    cells: Cells
    hidden: Tensor
    """bool[B, H, W]: the positions this tensor has now (padding and slicing included)."""
    axes: tuple[int, ...]
    """Dimensions of batch, height and width, or of batch and merged height-width."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes along `axes`."""
        batch, height, width = self.hidden.shape
        return (batch, height, width) if len(self.axes) == 3 else (batch, height * width)

    def broadcast(self, ndim: int) -> Tensor:
        """`hidden`, shaped to broadcast against a tensor of `ndim` dimensions."""
        hidden = self.hidden.reshape(self.sizes)
        order = sorted(range(len(self.axes)), key=self.axes.__getitem__)
        shape = [1] * ndim
        for axis, size in zip(self.axes, self.sizes, strict=True):
            shape[axis] = size
        return hidden.permute(order).reshape(shape)

    def visible(self, ndim: int, dtype: torch.dtype) -> Tensor:
        """1 where visible, 0 where hidden, shaped to broadcast against a tensor of `ndim` dimensions."""
        return (~self.broadcast(ndim)).to(dtype)

    def spatial(self) -> tuple[int, ...]:
        """Dimensions of height and width (or the merged one)."""
        return self.axes[1:]

    def with_axes(self, axes: tuple[int, ...]) -> "Layout":
        """The same mask on a tensor whose dimensions moved."""
        return replace(self, axes=axes)

    def projected(self, height: int, width: int) -> "Layout":
        """The mask of the whole image on another grid, for a [B, C, height, width] tensor."""
        return replace(self, hidden=self.cells.at(height, width), axes=(0, 2, 3))


@dataclass(frozen=True, eq=False)
class Masked:
    """Values and their layout. Values are exactly 0 at hidden positions."""

    values: Tensor
    layout: Layout

    def visible(self) -> Tensor:
        """1 where visible, 0 where hidden, in the values' type (at least float32), broadcast shape."""
        kind = torch.promote_types(self.values.dtype, torch.float32)
        return self.layout.visible(self.values.ndim, kind)

    def filled(self, value: float) -> Tensor:
        """The values, with hidden positions set to `value`."""
        return self.values.masked_fill(self.layout.broadcast(self.values.ndim), value)


def zeroed(values: Tensor, layout: Layout) -> Masked:
    """Set hidden positions, whose values are finite, to exactly 0, without a gradient."""
    for axis, size in zip(layout.axes, layout.sizes, strict=True):
        if axis >= values.ndim or values.shape[axis] != size:
            raise UnsupportedError("the result no longer has the positions of its mask")
    return Masked(values * layout.visible(values.ndim, values.dtype), layout)


def require_map(x: Masked) -> tuple[int, int]:
    """Height and width of a [B, C, H, W] tensor."""
    if x.layout.axes != (0, 2, 3) or x.values.ndim != 4:
        raise UnsupportedError("it needs a [B, C, H, W] map")
    return x.values.shape[2], x.values.shape[3]


def normal_dims(dim: object, ndim: int) -> tuple[int, ...]:
    """A dim argument as a tuple of non-negative dimensions."""
    if dim is None:
        return tuple(range(ndim))
    dims = (dim,) if isinstance(dim, int) else tuple(dim)  # type: ignore[arg-type]
    return tuple(int(d) % ndim for d in dims)

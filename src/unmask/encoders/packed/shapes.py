"""Moves between channels-first and channels-last, and cuts and joins of channels."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from unmask.encoders.dense.layout import UnsupportedError, normal_dims
from unmask.encoders.packed.tiled_map import Packed


def permute(func: Callable[..., Tensor], x: Packed, *dims: Any, **kwargs: Any) -> Packed:
    """[B, C, H, W] to [B, H, W, C] and back."""
    order = normal_dims(kwargs.get("dims", dims[0] if len(dims) == 1 else dims), 4)
    if order != ((0, 3, 1, 2) if x.last else (0, 2, 3, 1)):
        raise UnsupportedError("only channels move")
    return Packed(x.values.permute(order), x.tiles, not x.last)


def contiguous(func: Callable[..., Tensor], x: Packed, **kwargs: Any) -> Packed:
    """Tiles stay channels-last: memory order is not the model's business here."""
    return x


def split(func: Callable[..., Any], x: Packed, split_size_or_sections: Any, dim: int = 0) -> tuple[Packed, ...]:
    """Split channels."""
    return tuple(x.with_values(v) for v in torch.split(x.values, split_size_or_sections, _channels(x, dim)))


def chunk(func: Callable[..., Any], x: Packed, chunks: int, dim: int = 0) -> tuple[Packed, ...]:
    """Chunk channels."""
    return tuple(x.with_values(v) for v in torch.chunk(x.values, chunks, _channels(x, dim)))


def concatenate(func: Callable[..., Tensor], parts: Any, dim: int = 0) -> Packed:
    """Join channels."""
    first = parts[0]
    if not all(isinstance(p, Packed) and p.tiles is first.tiles and p.side == first.side for p in parts):
        raise UnsupportedError("it joins packed and plain tensors")
    return first.with_values(torch.cat([p.values for p in parts], _channels(first, dim)))


def pad(func: Callable[..., Tensor], x: Packed, pad: Any, mode: str = "constant", value: float | None = None) -> Packed:
    """Padding of channels only."""
    if x.last or any(pad[:4]):
        raise UnsupportedError("it pads positions")
    return x.with_values(F.pad(x.values, pad, mode, value))


def take(func: Callable[..., Any], x: Packed, index: Any) -> Packed:
    """Slices of channels."""
    entries = index if isinstance(index, tuple) else (index,)
    whole = slice(None)
    if x.last or len(entries) > 2 or entries[0] != whole or not all(isinstance(e, slice) for e in entries):
        raise UnsupportedError("only slices of channels are honored")
    return x.with_values(x.values[entries])


def _channels(x: Packed, dim: int) -> int:
    if dim % 4 != (3 if x.last else 1):
        raise UnsupportedError("it cuts or joins positions")
    return dim % 4

"""Operations that move, cut, join or pad: the mask follows its dimensions."""

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from unmask.encoders.dense.elementwise import agree
from unmask.encoders.dense.layout import Layout, Masked, UnsupportedError, normal_dims, zeroed


def permute(func: Callable[..., Tensor], x: Masked, *dims: Any, **kwargs: Any) -> Masked:
    """permute(dims) and permute(*dims)."""
    order = normal_dims(kwargs.get("dims", dims[0] if len(dims) == 1 else dims), x.values.ndim)
    return Masked(x.values.permute(order), x.layout.with_axes(tuple(order.index(a) for a in x.layout.axes)))


def transpose(func: Callable[..., Tensor], x: Masked, dim0: int, dim1: int) -> Masked:
    """Swap two dimensions."""
    order = list(range(x.values.ndim))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return permute(func, x, order)


def reshape(func: Callable[..., Tensor], x: Masked, *shape: Any, **kwargs: Any) -> Masked:
    """view and reshape that keep batch, height and width whole, or merge height and width, or split them again."""
    values = func(x.values, *shape, **kwargs)
    return Masked(values, x.layout.with_axes(_relocate(x, values.shape)))


def flatten(func: Callable[..., Tensor], x: Masked, start_dim: int = 0, end_dim: int = -1) -> Masked:
    """Merge dimensions, e.g. height and width."""
    values = x.values.flatten(start_dim, end_dim)
    return Masked(values, x.layout.with_axes(_relocate(x, values.shape)))


def unsqueeze(func: Callable[..., Tensor], x: Masked, dim: int) -> Masked:
    """Insert a dimension."""
    dim = dim % (x.values.ndim + 1)
    return Masked(x.values.unsqueeze(dim), x.layout.with_axes(tuple(a + (a >= dim) for a in x.layout.axes)))


def squeeze(func: Callable[..., Tensor], x: Masked, dim: int) -> Masked:
    """Remove a dimension of size 1 that carries no mask."""
    dim = dim % x.values.ndim
    if dim in x.layout.axes:
        raise UnsupportedError("it drops a masked dimension")
    if x.values.shape[dim] != 1:
        return x
    return Masked(x.values.squeeze(dim), x.layout.with_axes(tuple(a - (a > dim) for a in x.layout.axes)))


def split(func: Callable[..., Any], x: Masked, split_size_or_sections: Any, dim: int = 0) -> tuple[Masked, ...]:
    """Split along a dimension that carries no mask (channels)."""
    if dim % x.values.ndim in x.layout.axes:
        raise UnsupportedError("it splits positions")
    return tuple(Masked(part, x.layout) for part in torch.split(x.values, split_size_or_sections, dim))


def chunk(func: Callable[..., Any], x: Masked, chunks: int, dim: int = 0) -> tuple[Masked, ...]:
    """Chunk along a dimension that carries no mask."""
    return split(torch.split, x, -(-x.values.shape[dim] // chunks), dim)


def unbind(func: Callable[..., Any], x: Masked, dim: int = 0) -> tuple[Masked, ...]:
    """Unbind along a dimension that carries no mask."""
    return tuple(squeeze(func, part, dim) for part in split(torch.split, x, 1, dim))


def concatenate(func: Callable[..., Tensor], parts: Any, dim: int = 0) -> Masked:
    """Join channels of equally masked tensors."""
    layout = _common(parts)
    ndim = parts[0].values.ndim
    if dim % ndim in layout.axes:
        raise UnsupportedError("it joins positions")
    return Masked(torch.cat([p.values for p in parts], dim), layout)


def stack(func: Callable[..., Tensor], parts: Any, dim: int = 0) -> Masked:
    """Stack equally masked tensors along a new dimension."""
    _common(parts)
    return concatenate(torch.cat, [unsqueeze(torch.unsqueeze, p, dim) for p in parts], dim)


def pad(func: Callable[..., Tensor], x: Masked, pad: Any, mode: str = "constant", value: float | None = None) -> Masked:
    """Pad the last dimensions. What is outside the image is not hidden: it takes the pad's value, as in
    the plain model.

    Reflected and replicated positions are hidden where their source is.
    """
    values = F.pad(x.values, pad, mode, value)
    if x.layout.axes != (0, 2, 3):
        if any(any(pad[2 * i : 2 * i + 2]) for i in range(len(pad) // 2) if x.values.ndim - 1 - i in x.layout.axes):
            raise UnsupportedError("it pads positions of a tensor that is not a [B, C, H, W] map")
        return Masked(values, x.layout)
    if any(pad[4:6]) and mode != "constant":
        raise UnsupportedError("it reflects channels")
    hidden = F.pad(x.layout.hidden.float()[:, None], tuple(pad[:4]), mode, 0 if mode == "constant" else None)
    return zeroed(values, replace(x.layout, hidden=hidden[:, 0] > 0.5))


def expand_as(func: Callable[..., Tensor], plain: Any, like: Any) -> Tensor:
    """A plain tensor (a gate) expanded to the shape of a masked one stays plain."""
    if isinstance(plain, Masked):
        raise UnsupportedError("it repeats masked positions")
    return plain.expand_as(like.values)


def take(func: Callable[..., Any], x: Masked, index: Any) -> Masked:
    """Basic slices; of height and width too, e.g. to crop a padded map."""
    entries = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in entries:
        gap = entries.index(Ellipsis)
        entries[gap : gap + 1] = [slice(None)] * (x.values.ndim - len(entries) + 1)
    if not all(isinstance(e, (slice, int)) or e is None for e in entries):
        raise UnsupportedError("only slices and integers are honored")
    result = x
    dim = 0
    for entry in entries:
        result = _take_one(result, dim, entry)
        dim += not isinstance(entry, int)
    return result


def _take_one(x: Masked, dim: int, entry: Any) -> Masked:
    if entry is None:
        return unsqueeze(torch.unsqueeze, x, dim)
    if entry == slice(None):
        return x
    if isinstance(entry, int):
        return squeeze(torch.squeeze, _cut(x, dim, slice(entry, entry + 1 or None)), dim)
    return _cut(x, dim, entry)


def _cut(x: Masked, dim: int, entry: slice) -> Masked:
    values = x.values[(slice(None),) * dim + (entry,)]
    if dim not in x.layout.axes:
        return Masked(values, x.layout)
    which = x.layout.axes.index(dim)
    if which == 0 or len(x.layout.axes) == 2:
        raise UnsupportedError("it takes some of the images or tokens")
    hidden = x.layout.hidden[(slice(None),) * which + (entry,)]
    return Masked(values, replace(x.layout, hidden=hidden))


def resize(func: Callable[..., Tensor], x: Masked, *args: Any, **kwargs: Any) -> Masked:
    """Nearest-neighbor interpolation; other modes would mix hidden and visible positions."""
    mode = kwargs.get("mode", args[2] if len(args) > 2 else "nearest")
    if mode not in ("nearest", "nearest-exact"):
        raise UnsupportedError(f"mode {mode} mixes hidden and visible positions")
    values = func(x.values, *args, **kwargs)
    return zeroed(values, x.layout.projected(values.shape[2], values.shape[3]))


def _common(parts: Any) -> Layout:
    if not all(isinstance(part, Masked) for part in parts):
        raise UnsupportedError("it joins masked and plain tensors")
    return agree(list(parts))


def _relocate(x: Masked, shape: torch.Size) -> tuple[int, ...]:
    """Where batch, height and width went: a dimension is the same if its size and the sizes before it agree."""
    batch, height, width = x.layout.hidden.shape
    if x.layout.axes == tuple(sorted(x.layout.axes)):
        start = x.layout.axes[1]
        before = prod(x.values.shape[:start])
        merged = len(x.layout.axes) == 2 or x.layout.axes[2] == start + 1
        options = [((height, width), before), ((height * width,), before)] if merged else [((height, width), before)]
        for sizes, prefix in options:
            place = _find(shape, sizes, prefix, after=0)
            first = _find(shape, (batch,), prod(x.values.shape[: x.layout.axes[0]]), after=-1)
            if place is not None and first is not None:
                return (first, *range(place, place + len(sizes)))
    raise UnsupportedError(f"shape {tuple(x.values.shape)} to {tuple(shape)} mixes positions")


def _find(shape: torch.Size, sizes: tuple[int, ...], prefix: int, *, after: int) -> int | None:
    """First dimension > after that starts `sizes` with a product of earlier sizes of `prefix`."""
    for place in range(after + 1, len(shape) - len(sizes) + 1):
        if tuple(shape[place : place + len(sizes)]) == sizes and prod(shape[:place]) == prefix:
            return place
    return None

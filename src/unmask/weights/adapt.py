"""Adapt tensors to another input: channels, patches or image size. Nothing else about a network may differ.

A table of positions is a function on the patch grid, so it is resampled whenever the grid differs, not only when its
length differs: 4 x 4 and 2 x 8 patches are equally many, but elsewhere.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import resample_patch_embed
from timm.models import adapt_input_conv
from torch import Tensor, nn

from unmask.errors import UserError

RGB = 3
_PATCHES = "patch_embed.proj.weight"
_ABSOLUTE, _RELATIVE = "pos_embed", "relative_position_bias_table"
_POSITIONAL = re.compile(r"(?:pos_emb|rel_pos|relative_position|attention_bias|pos_bias|position_embed)")


@dataclass(frozen=True)
class Source:
    """The input that weights were trained for, as far as known."""

    size: tuple[int, int] | None = None
    """Height and width of its images."""
    network: Callable[[], nn.Module] | None = None
    """Builds the network of these weights, which reveals its windows."""


@dataclass
class Adapted:
    """Tensors that fit a network, and how they were adapted, in words."""

    tensors: dict[str, Tensor]
    done: list[str] = field(default_factory=list)


def adapt(tensors: Mapping[str, Tensor], model: nn.Module, size: tuple[int, int], source: Source) -> Adapted:
    """Adapt tensors, by the network's names, to its channels, patches and grid; others stay unchanged.

    Args:
        tensors: of a network of the same encoder.
        model: the network that will take them.
        source: what the tensors were trained for.

    Raises:
        UserError: positions of another grid that cannot be resampled.
    """
    wanted, found = model.state_dict(), Adapted(dict(tensors))
    moved = source.size is not None and source.size != size
    old_patch = found.tensors[_PATCHES].shape[2:] if _PATCHES in found.tensors else None
    windows = _windows(source.network()) if moved and source.network and _has_tables(wanted) else {}
    for name, tensor in tensors.items():
        if name not in wanted:
            continue
        tensor = _channels(name, tensor, wanted[name], found)
        if name.endswith(_PATCHES):
            tensor = _patches(tensor, wanted[name], found)
        elif name.endswith(_ABSOLUTE) and tensor.ndim == 3 and hasattr(model, "patch_embed"):
            old = None if source.size is None or old_patch is None else _grid(source.size, old_patch)
            tensor = _absolute(tensor, model, wanted[name], old, found)
        elif name.endswith(_RELATIVE):
            module: Any = model.get_submodule(name.rpartition(".")[0])
            tensor = _relative(name, tensor, tuple(module.window_size), wanted[name], windows.get(name), found)
        elif moved and tensor.ndim < 4 and _POSITIONAL.search(name):
            assert source.size is not None
            was, now = ("{} x {}".format(*one) for one in (source.size, size))
            raise UserError(f"positions {name} of {was} pixels cannot be brought to {now}: give that image size")
        found.tensors[name] = tensor
    found.done = list(dict.fromkeys(found.done))
    return found


def resample_grid(table: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Resample a table [1, prefix + old patches, D] of positions to a new grid; the prefix stays.

    Bicubic, antialiased, over the square of the image: a patch is placed at its center.
    """
    prefix = table.shape[1] - old[0] * old[1]
    if old == new:
        return table
    grid = table[:, prefix:].float().unflatten(1, old).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, size=new, mode="bicubic", antialias=True).to(table.dtype)
    return torch.cat([table[:, :prefix], grid.flatten(2).transpose(1, 2)], dim=1)


def _channels(name: str, tensor: Tensor, wanted: Tensor, found: Adapted) -> Tensor:
    """Adapt the first kernel to other channels: RGB summed for gray, else repeated at equal total weight."""
    new = wanted.shape[1] if wanted.ndim == 4 else 0
    if tensor.ndim != 4 or tensor.shape[1] != RGB or new == RGB or tensor.shape[0] != wanted.shape[0]:
        return tensor
    if not name.endswith(_PATCHES) and tensor.shape[2:] != wanted.shape[2:]:
        return tensor
    found.done.append(f"first kernels from {RGB} to {new} channels")
    return adapt_input_conv(new, tensor)


def _patches(tensor: Tensor, wanted: Tensor, found: Adapted) -> Tensor:
    if tensor.ndim != 4 or tensor.shape[:2] != wanted.shape[:2] or tensor.shape == wanted.shape:
        return tensor
    old, new = ("{} x {}".format(*one.shape[2:]) for one in (tensor, wanted))
    found.done.append(f"patch kernels resampled from {old} to {new} pixels")
    return resample_patch_embed(tensor, list(wanted.shape[2:]))


def _absolute(tensor: Tensor, model: nn.Module, wanted: Tensor, old: tuple[int, int] | None, found: Adapted) -> Tensor:
    embed: Any = model.patch_embed
    new = tuple(getattr(embed, "grid_size", None) or ())
    prefix = wanted.shape[1] - math.prod(new)
    if len(new) != 2 or prefix < 0 or tensor.shape[2] != wanted.shape[2]:
        return tensor
    patches = tensor.shape[1] - prefix
    if old is None:
        side = math.isqrt(max(patches, 0))
        old = (side, side)
    if math.prod(old) != patches or patches < 1:
        return tensor
    if old != new:
        found.done.append("position table resampled from {} x {} to {} x {} patches".format(*old, *new))
    return resample_grid(tensor, old, new)


def _relative(
    name: str, tensor: Tensor, new: tuple[int, int], wanted: Tensor, old: tuple[int, int] | None, found: Adapted
) -> Tensor:
    """Resample a table [offsets + extra, heads] to other windows; windows are assumed square if unknown."""
    extra = wanted.shape[0] - math.prod(_offsets(new))
    if old is None:
        side = (math.isqrt(max(tensor.shape[0] - extra, 0)) + 1) // 2
        old = (side, side)
    if tensor.ndim != 2 or tensor.shape[0] - extra != math.prod(_offsets(old)) or extra < 0:
        return tensor
    if old == new:
        return tensor
    found.done.append("relative positions resampled from windows of {} x {} to {} x {}".format(*old, *new))
    return resample_offsets(tensor, old, new)


def resample_offsets(table: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Resample a table [offsets + extra, heads] of relative positions from one window to another; extra rows stay.

    Offsets from 1 - h to h - 1, by rows, likewise by columns; bicubic over the window, so that zero offset stays zero.
    """
    count = math.prod(_offsets(old))
    grid = table[:count].float().unflatten(0, _offsets(old)).permute(2, 0, 1)[None]
    grid = F.interpolate(grid, size=_offsets(new), mode="bicubic")[0].to(table.dtype)
    return torch.cat([grid.flatten(1).T, table[count:]])


def _offsets(window: tuple[int, int]) -> tuple[int, int]:
    return 2 * window[0] - 1, 2 * window[1] - 1


def _grid(size: tuple[int, int], patch: Any) -> tuple[int, int]:
    return size[0] // patch[0], size[1] // patch[1]


def _has_tables(wanted: Mapping[str, Tensor]) -> bool:
    return any(name.endswith(_RELATIVE) for name in wanted)


def _windows(model: nn.Module) -> dict[str, tuple[int, int]]:
    """The window of every table of relative positions."""
    found: dict[str, tuple[int, int]] = {}
    for name in model.state_dict():
        if name.endswith(_RELATIVE):
            module: Any = model.get_submodule(name.rpartition(".")[0])
            found[name] = tuple(module.window_size)
    return found

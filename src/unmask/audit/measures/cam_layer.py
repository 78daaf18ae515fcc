"""The layer that maps read: which module, its values, and how they become a map of positions.

Letters: B images, D channels of the layer, h x w positions, T tokens, H x W pixels.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unmask.encoders.stages import captured, evaluating, stage_modules
from unmask.errors import UserError

LEAST_SIDE = 4
"""Least number of positions along the shorter side of a chosen map, if the network has one: fewer cannot localize."""


@dataclass(frozen=True)
class Layer:
    """A place in a network: a module's output or its input."""

    path: str
    before: bool = False
    """Read the module's input instead of its output."""

    def __str__(self) -> str:
        return f"input of {self.path}" if self.before else self.path


def choose_layer(model: nn.Module, images: Tensor, path: str | None = None) -> Layer:
    """The layer that maps read: the module at `path`, or by the kind of network.

    - A ViT: the input of its last block. After the last block patch tokens no longer reach the class token, so their
      gradients are zero.
    - Any other network: the deepest of the feature maps it declares that has at least 4 x 4 positions for images of
      this size, else the deepest.

    Args:
        model: the network.
        images: [B, C, H, W]; the first one is passed through.
        path: a module's dotted path, to override the choice.

    Raises:
        UserError: there is no such module, or the network declares no feature maps.
    """
    names = dict(model.named_modules())
    if path is not None:
        if path not in names or not path:
            ends = ", ".join(list(names)[-3:])
            raise UserError(f"layer = {path!r} is not a module of {type(model).__name__}; its last ones are {ends}")
        return Layer(path)
    blocks = getattr(model, "blocks", None)
    if hasattr(model, "num_prefix_tokens") and isinstance(blocks, nn.Sequential | nn.ModuleList):
        return Layer(f"blocks.{len(blocks) - 1}", before=True)
    stages = stage_modules(model)
    with torch.no_grad(), evaluating(model), captured(model, stages, lambda value: value) as values:
        model(images[:1])
    layers = [Layer(name, before) for name, before in stages]
    size = (images.shape[-2], images.shape[-1])
    for layer, value in zip(reversed(layers), reversed(values), strict=True):
        if min(to_map(value, model, layer, size).shape[-2:]) >= LEAST_SIDE:
            return layer
    return layers[-1]


def to_map(values: Tensor, model: nn.Module, layer: Layer, size: tuple[int, int]) -> Tensor:
    """Activations (or their gradients) of a layer as [B, D, h, w], whatever the order of their axes.

    [B, D, h, w] is unchanged; [B, h, w, D] is permuted; tokens [B, T, D] lose the prefix tokens and form the grid.

    Raises:
        UserError: the layer's values have no positions, such as those of a pooling layer or a head.
    """
    if values.ndim == 4:
        return values.permute(0, 3, 1, 2) if _channels_last(values, model, layer) else values
    if values.ndim == 3:
        for prefix in (int(getattr(model, "num_prefix_tokens", 0)), 0):
            grid = _token_grid(model, values.shape[1] - prefix, size)
            if grid is not None:
                return values[:, prefix:].transpose(1, 2).unflatten(2, grid)
    raise UserError(
        f"layer = {layer} of {type(model).__name__} gives values of shape {tuple(values.shape)}, without positions "
        "in the image; choose a layer with feature maps or patch tokens"
    )


def _channels_last(values: Tensor, model: nn.Module, layer: Layer) -> bool:
    info = getattr(model, "feature_info", None)
    declared = {i["module"]: i["num_chs"] for i in (info if isinstance(info, list) else getattr(info, "info", []))}
    width = declared.get(layer.path)
    if width is not None and (values.shape[1] == width) != (values.shape[3] == width):
        return bool(values.shape[3] == width)
    return str(getattr(model, "output_fmt", "NCHW")).endswith("NHWC")


def _token_grid(model: nn.Module, count: int, size: tuple[int, int]) -> tuple[int, int] | None:
    """The grid formed by this many patches of one image: from the model's patch size, else from square patches."""
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    if patch is not None:
        down, across = patch if isinstance(patch, tuple | list) else (patch, patch)
        grid = (size[0] // int(down), size[1] // int(across))
        if grid[0] * grid[1] == count:
            return grid
    if count <= 0 or size[0] * size[1] % count:
        return None
    side = math.isqrt(size[0] * size[1] // count)
    grid = (size[0] // side, size[1] // side)
    return grid if grid[0] * grid[1] == count else None


@contextmanager
def tapped(model: nn.Module, layer: Layer, *, leaf: bool) -> Iterator[list[Tensor]]:
    """Collect a layer's values in forward passes inside this context; nothing is left behind, also on error.

    With `leaf`, the value becomes a leaf that requires a gradient, and the graph starts only there: earlier layers cost
    the same as in evaluation, parameters may be frozen, and no parameter's gradient is touched.
    """
    taken: list[Tensor] = []

    def take(value: Any) -> Tensor:
        """Keep the value for the caller, and return a copy with which the network goes on."""
        if not isinstance(value, Tensor):
            raise UserError(f"layer = {layer} of {type(model).__name__} gives no tensor; choose another")
        kept = value.detach()
        if leaf:
            torch.set_grad_enabled(True)
            kept.requires_grad_()
        taken.append(kept)
        return kept.clone()  # the network may later change it in place

    def after(module: nn.Module, inputs: Any, output: Any) -> Tensor:
        return take(output)

    def ahead(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (take(inputs[0]), *inputs[1:])

    module = model.get_submodule(layer.path)
    with torch.no_grad():  # its end restores the caller's gradient mode
        handle = module.register_forward_pre_hook(ahead) if layer.before else module.register_forward_hook(after)
        try:
            yield taken
        finally:
            handle.remove()

"""Keep resolution on small images: set the first strided layers of a CNN to stride 1."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from unmask.encoders.stages import evaluating
from unmask.errors import UserError


def unstride(model: nn.Module, levels: int, *, channels: int, image_size: tuple[int, int]) -> None:
    """Set every stride-2 convolution or pool at the `levels` finest resolutions to stride 1, in place.

    All layers that leave one resolution count as one (a residual block's convolution and its shortcut).

    Raises:
        UserError: the model has fewer strided layers, or one that cannot run at stride 1 (a 4x4 patch stem).
    """
    done: list[str] = []
    for _ in range(levels):
        found = _finest_strided(model, channels, image_size)
        if not found:
            raise UserError(f"unstrided = {levels}: {type(model).__name__} has only {len(done)} strided resolutions")
        for path, module in found:
            if max(_pair(module.stride)) != 2 or (min(_pair(module.kernel_size)) < 3 and type(module) is not nn.Conv2d):
                raise UserError(f"unstrided = {levels}: {path} of {type(model).__name__} cannot run at stride 1")
            module.stride = 1 if isinstance(module.stride, int) else (1, 1)
        done.append(found[0][0])
    try:
        _forward(model, channels, image_size)
    except RuntimeError as error:
        raise UserError(f"unstrided = {levels} does not fit {type(model).__name__}: {error}") from error


def _finest_strided(model: nn.Module, channels: int, image_size: tuple[int, int]) -> list[tuple[str, Any]]:
    """The strided layers that read the finest resolution of all strided layers."""
    seen: list[tuple[int, str, Any]] = []
    handles = []
    for path, module in model.named_modules():
        if hasattr(module, "kernel_size") and hasattr(module, "stride") and max(_pair(module.stride)) > 1:

            def note(module: Any, inputs: tuple[Tensor, ...], path: str = path) -> None:
                """Hook: a layer that reads a map, with the number of its positions."""
                if inputs[0].ndim == 4 and min(inputs[0].shape[2:]) > 1:
                    seen.append((inputs[0].shape[2] * inputs[0].shape[3], path, module))

            handles.append(module.register_forward_pre_hook(note))
    try:
        _forward(model, channels, image_size)
    finally:
        for handle in handles:
            handle.remove()
    finest = max((size for size, _, _ in seen), default=0)
    return [(path, module) for size, path, module in seen if size == finest]


@torch.no_grad()
def _forward(model: nn.Module, channels: int, image_size: tuple[int, int]) -> None:
    """One evaluation pass over a black image; modes are restored."""
    with evaluating(model):
        model(torch.zeros(1, channels, *image_size))


def _pair(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, Iterable) else (int(value),)

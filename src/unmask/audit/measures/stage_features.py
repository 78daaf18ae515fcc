"""The feature maps of every stage of a plain network, as numbers per image and unit.

Letters: N images, C channels, D units.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unmask.encoders.patchnet import PatchNet
from unmask.encoders.stages import evaluating
from unmask.errors import UserError

_STAGES = 4
"""Number of stages taken from a model with more (a ViT's blocks), evenly spaced, including the last one."""


@dataclass(frozen=True)
class Pooled:
    """One stage: the mean of its maps over the positions, as the head reads it."""

    stage: str
    mean: Tensor
    """float64 (N, D)."""
    signed: bool
    """Whether values may be negative: the stage does not end with a ReLU."""


def with_signs(values: Tensor, signed: bool) -> Tensor:
    """The units' responses to images: (N, D), or (N, 2D) if their values may be negative.

    The sign of a unit is then arbitrary, so each appears twice, the second time negated.
    """
    return torch.cat([values, -values], 1) if signed else values


def stage_maps(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Maps [N, D, h, w] of up to four stages by name, shallow to deep; the last is what the head reads.

    Raises:
        UserError: the model gives no maps of its stages.
    """
    if isinstance(model, PatchNet):
        return {"kernels": model.forward_features(images)}
    forward: Callable[..., tuple[Tensor, list[Tensor]]] | None = getattr(model, "forward_intermediates", None)
    if forward is None:
        raise UserError(f"encoder = {type(model).__name__} gives no intermediate maps: choose another encoder")
    final, maps = forward(images)
    count = len(maps)
    wanted = sorted({round(count * part / _STAGES) - 1 for part in range(1, _STAGES + 1)} - {-1})
    chosen = {f"stage {index + 1} of {count}": maps[index] for index in wanted}
    if final.ndim == 4 and maps[-1].shape[1] not in (final.shape[1], final.shape[3]):
        return chosen | {"before pooling": final}
    return chosen | {f"stage {count} of {count}": _normalized(final, maps[-1])}


def _normalized(final: Tensor, last: Tensor) -> Tensor:
    """The final, normalized output as a map if it has the channels of the last map, else the last map."""
    if final.ndim == 4:
        return final if final.shape == last.shape else final.permute(0, 3, 1, 2)
    positions = last.shape[2] * last.shape[3]
    if final.ndim == 3 and final.shape[2] == last.shape[1] and final.shape[1] >= positions:
        return final[:, final.shape[1] - positions :].transpose(1, 2).reshape(last.shape)
    return last


@torch.no_grad()
def pooled_stages(model: nn.Module, batches: Iterable[Tensor]) -> list[Pooled]:
    """Every stage of a network over batches of normalized images, in evaluation mode; the model's mode is restored."""
    kept: dict[str, list[tuple[Tensor, bool]]] = {}
    with evaluating(model):
        for images in batches:
            for name, maps in stage_maps(model, images).items():
                kept.setdefault(name, []).append((maps.double().mean((2, 3)).cpu(), bool((maps < 0).any())))
    return [Pooled(name, torch.cat([m for m, _ in rows]), any(s for _, s in rows)) for name, rows in kept.items()]

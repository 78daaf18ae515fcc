"""Arithmetic of teacher targets: which features, how normalized, and how the teacher follows the student."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def instance_normalized(features: Tensor, eps: float = 1e-5) -> Tensor:
    """Every channel of every image with mean 0 and variance v / (v + ε) over its positions, in float32.

    Constant features cannot match normalized targets, which helps keep the teacher from collapsing.
    """
    x = features.float()
    return torch.zeros_like(x) if x.shape[2:].numel() == 1 else F.instance_norm(x, eps=eps)


def to_cells(features: Tensor, grid: tuple[int, int]) -> Tensor:
    """A map on the grid of cells: mean over each cell if the map is finer, nearest if it is coarser."""
    if tuple(features.shape[-2:]) == grid:
        return features
    finer = features.shape[-2] >= grid[0]
    return F.adaptive_avg_pool2d(features, grid) if finer else F.interpolate(features, size=grid, mode="nearest")


def teacher_features(maps: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
    """The target of a teacher: its last maps, brought to the grid of cells and normalized, float32 [B, D, Hc, Wc].

    Maps of equal shape (the blocks of a ViT) are averaged, as in data2vec; stages of a CNN, which differ in channels,
    are stacked along the channels.
    """
    cells = [_normalized_cells(x, grid) for x in maps]
    alike = all(x.shape == maps[0].shape for x in maps)
    return torch.stack(cells).mean(0) if alike else torch.cat(cells, dim=1)


def _normalized_cells(features: Tensor, grid: tuple[int, int]) -> Tensor:
    """`instance_normalized(to_cells(...))`: a map is normalized before its positions repeat, if all do so equally."""
    repeats = all(side % own == 0 for side, own in zip(grid, features.shape[-2:], strict=True))
    return to_cells(instance_normalized(features), grid) if repeats else instance_normalized(to_cells(features, grid))


def momentum_at(step: int, total: int, momentum: tuple[float, float]) -> float:
    """Linear from momentum[0] at step 0 to momentum[1] at the last step (data2vec's schedule over the whole run)."""
    share = step / max(total - 1, 1)
    return momentum[0] + (momentum[1] - momentum[0]) * min(share, 1.0)


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """t ← m t + (1 - m) s for parameters and floating-point buffers; other buffers are copied."""
    theirs = student.state_dict()
    for name, value in teacher.state_dict().items():
        if value.is_floating_point():
            value.lerp_(theirs[name].to(value.dtype), 1 - momentum)
        else:
            value.copy_(theirs[name])

"""Pixel targets, and the loss over hidden cells that every target shares.

A target and a prediction have the shape [B, D, Hc, Wc]: one vector of D numbers for each cell. For pixels
D = C · cell · cell, in the order of `torch.nn.functional.pixel_unshuffle`: channel, row, column.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# Variance below which a cell counts as constant, in squared units of the normalized image. MAE's 1e-6 amplifies the
# rounding of 8-bit images two hundredfold; this is about the variance of one gray level's rounding error.
VARIANCE_FLOOR = 1e-4


def patchify(images: Tensor, cell: int) -> Tensor:
    """[B, C, H, W] → [B, C·cell·cell, H/cell, W/cell]; H and W are multiples of cell."""
    return F.pixel_unshuffle(images, cell)


def unpatchify(cells: Tensor, cell: int) -> Tensor:
    """The inverse of `patchify`."""
    return F.pixel_shuffle(cells, cell)


def cell_statistics(cells: Tensor, average: Callable[..., Tensor] = torch.mean) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every cell over all its numbers, each [B, 1, Hc, Wc] (MAE, section 3); with
    `torch.nanmean` over those that are not NaN."""
    mean = average(cells, dim=1, keepdim=True)
    variance = average((cells - mean).square(), dim=1, keepdim=True)  # the library's `var` takes several times as long
    return mean, (variance + VARIANCE_FLOOR).sqrt()


def pixel_target(images: Tensor, cell: int, *, normalized: bool, valid: Tensor | None = None) -> Tensor:
    """Cells of the image in float32; if `normalized`, each minus its mean and divided by its deviation.

    Missing values (`valid` is False) are NaN and do not count in a cell's mean and deviation.
    """
    cells = patchify(images.float(), cell)
    if valid is not None:
        cells = cells.where(patchify(valid, cell), torch.nan)
    if not normalized:
        return cells
    mean, deviation = cell_statistics(cells, torch.mean if valid is None else torch.nanmean)
    return (cells - mean) / deviation


class Loss(NamedTuple):
    """A sum over hidden cells, their number, and the same sum for the flat prediction."""

    total: Tensor
    number: Tensor
    baseline: Tensor


def hidden_loss(
    prediction: Tensor,
    target: Tensor,
    flat: Tensor,
    hidden: Tensor,
    *,
    kind: Literal["mse", "smooth_l1"] = "mse",
    valid: Tensor | None = None,
) -> Loss:
    """Σ over hidden cells of the mean over D of (prediction - target)² (or of smooth L1), computed in float32.

    The baseline predicts `flat`, for pixels the mean of each cell's own target: what a network that knows only the
    brightness reaches. A loss near it means that no structure has been learned.

    With `valid`, bool [B, D or 1, Hc, Wc], missing values are left out of the sum, and a cell counts by the share of
    its values that are present.
    """
    prediction, target = prediction.float(), target.float()
    if valid is not None:
        return _loss_of_valid(prediction, target, flat.float(), hidden, valid, kind)
    distance = F.mse_loss if kind == "mse" else F.smooth_l1_loss
    weight = hidden.to(prediction.dtype)
    per_cell = distance(prediction, target, reduction="none").mean(dim=1)
    baseline = distance(flat.float(), target, reduction="none").mean(dim=1)
    return Loss((per_cell * weight).sum(), weight.sum(), (baseline * weight).sum().detach())


def _loss_of_valid(
    prediction: Tensor, target: Tensor, flat: Tensor, hidden: Tensor, valid: Tensor, kind: Literal["mse", "smooth_l1"]
) -> Loss:
    """`hidden_loss` over the values that are present; the target may be NaN elsewhere."""
    distance = F.mse_loss if kind == "mse" else F.smooth_l1_loss
    there = (valid & hidden.unsqueeze(1)).expand_as(target)

    def total(guess: Tensor) -> Tensor:
        each = distance(guess.where(there, 0.0), target.where(there, 0.0), reduction="none")
        return each.mean(dim=1).sum()

    return Loss(total(prediction), there.float().mean(dim=1).sum(), total(flat).detach())


def paint(images: Tensor, prediction: Tensor, hidden: Tensor, cell: int, *, normalized: bool) -> tuple[Tensor, Tensor]:
    """(masked image, reconstruction): hidden cells are gray in the first and predicted in the second.

    With `normalized` targets the prediction has no brightness or contrast of its own: the true mean and deviation of
    each hidden cell are used, as is customary since MAE; every caption says so.
    """
    cells = patchify(images.float(), cell)
    predicted = prediction.float()
    if normalized:
        mean, deviation = cell_statistics(cells)
        predicted = predicted * deviation + mean
    where = hidden.unsqueeze(1)
    masked = torch.where(where, torch.zeros_like(cells), cells)
    filled = torch.where(where, predicted, cells)
    return unpatchify(masked, cell), unpatchify(filled, cell)

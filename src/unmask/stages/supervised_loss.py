"""Changes of a batch in supervised training: mixup, and cells hidden for the control."""

import numpy as np
import torch
from torch import Tensor, nn

from unmask.config import ClassifyConfig
from unmask.data.load import Dataset
from unmask.encoders.heads import encoder_of
from unmask.encoders.masked import masked_encoder
from unmask.masking import expand
from unmask.randomness import uniform


def hiding_grid(config: ClassifyConfig, data: Dataset, model: nn.Module) -> tuple[int, int] | None:
    """The grid of cells that are hidden in training; None if none are."""
    if config.hide_cells == 0:
        return None
    return masked_encoder(encoder_of(model), image_size=data.format.size, cell=config.hide_cell, execution="dense").grid


def hide_cells(images: Tensor, ids: Tensor, grid: tuple[int, int], most: float, *, seed: int, step: int) -> Tensor:
    """Random cells filled with zero, the mean color: each image hides between no and `most` of its cells."""
    keys = ids.numpy()
    share = uniform(seed, "hide", step, keys, 1)[:, 0] * most
    order = uniform(seed, "hidden cells", step, keys, grid[0] * grid[1]).argsort(axis=1).argsort(axis=1)
    hidden = torch.from_numpy(order < np.round(share * order.shape[1])[:, None]).unflatten(1, grid)
    return images.masked_fill(expand(hidden, *images.shape[-2:]).unsqueeze(1).to(images.device), 0.0)


def mixup(images: Tensor, target: Tensor, alpha: float, seed: int) -> tuple[Tensor, Tensor]:
    """x' = λ x + (1 - λ) x_reversed, the same for the targets, λ ~ Beta(α, α) (Zhang et al. 2018)."""
    share = float(np.random.default_rng(seed).beta(alpha, alpha))
    return share * images + (1 - share) * images.flip(0), share * target + (1 - share) * target.flip(0)

"""Draw which cells are hidden, in random, block and grid patterns, and project masks to any resolution.

One encoding everywhere: `hidden: bool[B, Hc, Wc]`. A mask is a pure function of (seed, epoch, sample id), so it does
not depend on workers, ranks, batch size or resume. The count is exact in every row: round(ratio · cells), at least one
cell hidden and at least one visible.
"""

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from unmask.config import MaskConfig
from unmask.errors import UserError
from unmask.randomness import derive_seed, uniform

_ROUNDS = 64


def draw_masks(config: MaskConfig, grid: tuple[int, int], *, seed: int, epoch: int, ids: ArrayLike) -> Tensor:
    """Draw the masks of some samples.

    Args:
        config: pattern, ratio and, optionally, the upper end of a range of ratios.
        grid: (Hc, Wc), cells along height and width.
        seed: the run's seed.
        epoch: each epoch has its own masks.
        ids: integer sample ids, shape (B,). A row depends only on its own id.

    Returns:
        hidden, bool[B, Hc, Wc].

    Raises:
        UserError: the grid has a single cell, so nothing could be both hidden and visible.
    """
    cells = grid[0] * grid[1]
    if cells < 2:
        raise UserError(f"cell = {config.cell} leaves a grid of {grid[0]}x{grid[1]} cells: choose a smaller cell")
    ids = np.atleast_1d(np.asarray(ids))
    counts = _counts(config, cells, seed, epoch, ids)
    if config.mask_pattern == "random":
        priority: NDArray = uniform(seed, "mask", epoch, ids, cells)
    elif config.mask_pattern == "block":
        return torch.from_numpy(_blocks(counts, grid, seed, epoch, ids))
    else:
        priority = _lattice(grid, uniform(seed, "mask", epoch, ids, 2))
    return torch.from_numpy(_lowest(priority, counts).reshape(-1, *grid))


def mask_seed(seed: int, index: int) -> int:
    """The seed of one of several masks of an image in a step; the first has the seed of a single mask."""
    return seed if index == 0 else derive_seed(seed, "masks", index)


def draw_predicted(hidden: Tensor, share: float, *, seed: int, epoch: int, ids: ArrayLike) -> Tensor:
    """A share of the hidden cells of each image, at least one: bool[B, Hc, Wc]. Keyed as the masks are."""
    cells = hidden.flatten(1).cpu().numpy()
    priority = uniform(seed, "predict", epoch, np.atleast_1d(np.asarray(ids)), cells.shape[1]) + ~cells
    counts = np.maximum(np.round(share * cells.sum(1)).astype(np.int64), 1)
    return torch.from_numpy(_lowest(priority, counts)).view(hidden.shape).to(hidden.device)


def expand(hidden: Tensor, height: int, width: int) -> Tensor:
    """Project a mask of cells bool[B, Hc, Wc] to another grid over the same image: pixels or an encoder's stage.

    A position is visible iff a cell it overlaps is visible; for finer grids this is nearest-neighbor enlargement.

    Returns:
        bool[B, height, width].
    """
    batch, rows, columns = hidden.shape
    if height % rows == 0 and width % columns == 0:
        shape = (batch, rows, height // rows, columns, width // columns)
        return hidden[:, :, None, :, None].expand(shape).reshape(batch, height, width)
    if rows % height == 0 and columns % width == 0:
        return hidden.reshape(batch, height, rows // height, width, columns // width).all(4).all(2)
    above, left = _bounds(rows, height, hidden.device), _bounds(columns, width, hidden.device)
    area = torch.nn.functional.pad((~hidden).int(), (1, 0, 1, 0)).cumsum(1).cumsum(2)
    strip = area[:, above[1]] - area[:, above[0]]
    return strip[:, :, left[1]] - strip[:, :, left[0]] == 0


def _bounds(cells: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """First cell, and one past the last cell, that each of `size` positions overlaps. Integer arithmetic: exact."""
    position = torch.arange(size, device=device)
    return position * cells // size, -(-(position + 1) * cells // size)


def _counts(config: MaskConfig, cells: int, seed: int, epoch: int, ids: NDArray) -> NDArray[np.int64]:
    ratio: NDArray[np.float64] = np.full(len(ids), config.mask_ratio)
    if config.mask_ratio_max is not None:
        share = uniform(seed, "mask-ratio", epoch, ids, 1)[:, 0]
        ratio = ratio + share * (config.mask_ratio_max - config.mask_ratio)
    return np.clip(np.round(ratio * cells).astype(np.int64), 1, cells - 1)


def _lowest(priority: NDArray, counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark the `counts` lowest priorities of each row; ties go to the earlier cell."""
    ranks = np.argsort(np.argsort(priority, axis=1, kind="stable"), axis=1, kind="stable")
    return ranks < counts[:, None]


def _lattice(grid: tuple[int, int], phase: NDArray[np.float64]) -> NDArray[np.int64]:
    """Priorities whose lowest v are always an even lattice: ordered dithering (Bayer 1973) at a random phase.

    The most regular cells are the *last* to be hidden: at ratio 3/4 one cell of every 2x2 stays visible.
    """
    bayer = np.zeros((1, 1), np.int64)
    while len(bayer) < max(grid):
        bayer = np.block([[4 * bayer, 4 * bayer + 2], [4 * bayer + 3, 4 * bayer + 1]])
    shift = (phase * len(bayer)).astype(np.int64)
    rows = (np.arange(grid[0])[None, :, None] + shift[:, 0, None, None]) % len(bayer)
    columns = (np.arange(grid[1])[None, None, :] + shift[:, 1, None, None]) % len(bayer)
    return -bayer[rows, columns].reshape(len(phase), -1)


def _blocks(counts: NDArray[np.int64], grid: tuple[int, int], seed: int, epoch: int, ids: NDArray) -> NDArray[np.bool_]:
    """Union of random rectangles (as in BEiT, Bao et al. 2022), the last one cut to the exact count."""
    height, width = grid
    draws = uniform(seed, "mask", epoch, ids, 4 * _ROUNDS + height * width)
    hidden = np.zeros((len(ids), height * width), bool)
    y, x = np.divmod(np.arange(height * width), width)
    for round_ in range(_ROUNDS):
        left = counts - hidden.sum(1)
        if not left.any():
            break
        area_draw, aspect_draw, top_draw, left_draw = draws[:, 4 * round_ : 4 * round_ + 4].T
        area = np.maximum(left * (0.3 + 0.7 * area_draw), 1)
        aspect = np.exp((2 * aspect_draw - 1) * np.log(1 / 0.3))
        tall = np.clip(np.round(np.sqrt(area * aspect)), 1, height)
        wide = np.clip(np.round(np.sqrt(area / aspect)), 1, width)
        top, start = np.floor(top_draw * (height - tall + 1)), np.floor(left_draw * (width - wide + 1))
        inside = (
            (y >= top[:, None]) & (y < (top + tall)[:, None]) & (x >= start[:, None]) & (x < (start + wide)[:, None])
        )
        new = inside & ~hidden
        hidden |= new & (np.cumsum(new, axis=1) <= left[:, None])
    rest = np.where(hidden, -1.0, draws[:, 4 * _ROUNDS :])
    return _lowest(rest, counts).reshape(-1, height, width)

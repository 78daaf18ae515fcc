"""Images with some cells shown and the others filled: the grid, the filling, and a network's answers.

Letters: N images, C channels, H x W pixels, Hc x Wc = n cells, M evaluations, K classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from unmask.randomness import uniform

Fill = Literal["mean", "blur", "noise"]
MOST_CELLS = 64


@dataclass(frozen=True)
class Grid:
    """Square cells over an image; those of the last row and column are cut if the side does not divide it."""

    size: tuple[int, int]
    """Height and width of the image."""
    side: int
    """Side of a cell, in pixels."""

    @property
    def shape(self) -> tuple[int, int]:
        """(Hc, Wc)."""
        return (-(-self.size[0] // self.side), -(-self.size[1] // self.side))

    @property
    def cells(self) -> int:
        """n."""
        return self.shape[0] * self.shape[1]

    def paint(self, shown: Tensor) -> Tensor:
        """Cells [M, n] as pixels [M, 1, H, W]."""
        cells = shown.unflatten(1, self.shape)
        pixels = cells.repeat_interleave(self.side, 1).repeat_interleave(self.side, 2)
        return pixels[:, None, : self.size[0], : self.size[1]]


def choose_grid(size: tuple[int, int], side: int | None = None) -> Grid:
    """The grid with cells of `side` pixels, by default the smallest side that gives at most 64 cells."""
    if side is not None:
        return Grid(size, side)
    return next(grid for s in range(1, max(size) + 1) if (grid := Grid(size, s)).cells <= MOST_CELLS)


def fill_images(
    pixels: Tensor, ids: Tensor, fill: Fill, *, mean: tuple[float, ...], std: tuple[float, ...], side: int, seed: int
) -> Tensor:
    """The filling of cells that are not shown, [N, C, H, W] in 0..1.

    - mean: the data's mean color. Reveals nothing about the image.
    - blur: the image under a Gaussian whose standard deviation is the side of a cell, edges reflected. Keeps coarse
      shape and color, so more images are recognized by the fill alone.
    - noise: independent normal pixels with the data's mean and standard deviation, clipped to 0..1; keyed by (seed,
      image id), so the same for every network and batch.

    Args:
        pixels: [N, C, H, W] in 0..1.
        ids: [N], keys of the noise.
        side: side of a cell, in pixels.
    """
    center = torch.tensor(mean)[:, None, None].expand_as(pixels)
    if fill == "mean":
        return center.clone()
    if fill == "blur":
        reach = [2 * min(2 * side, (length - 1) // 2) + 1 for length in (pixels.shape[-1], pixels.shape[-2])]
        return gaussian_blur(pixels, reach, [float(side)] * 2) if max(reach) > 1 else pixels.clone()
    draws = uniform(seed, "audit fill", 0, ids.numpy(), int(np.prod(pixels.shape[1:])))
    normal = torch.from_numpy(ndtri(draws + 2.0**-54).astype(np.float32)).reshape(pixels.shape)
    return (center + torch.tensor(std)[:, None, None] * normal).clamp(0, 1)


Answer = tuple[NDArray[np.float64], NDArray[np.float64]]
Ask = Callable[[NDArray[np.int64], NDArray[np.bool_]], Answer]


def asking(model: nn.Module, images: Tensor, filled: Tensor, labels: Tensor, grid: Grid, batch_size: int = 256) -> Ask:
    """A function that shows a network some cells of some images and returns how sure it is of the correct class.

    Args:
        model: in evaluation mode.
        images: images as the model takes them, [N, C, H, W].
        filled: the filling of cells that are not shown, as the model takes it, same shape.
        labels: the correct classes, [N].
        batch_size: evaluations per forward pass.

    Returns:
        (image [M], shown cells [M, n]) → (margin [M], log-odds [M]), float64. The margin is p_y - max over others of
        p; the log-odds, log p_y - log(1 - p_y), distinguish answers when the probability is nearly 1.
    """

    def ask(rows: NDArray[np.int64], shown: NDArray[np.bool_]) -> Answer:
        which, cells = torch.from_numpy(rows), torch.from_numpy(shown)
        parts = []
        for at in range(0, len(which), batch_size):
            here = which[at : at + batch_size]
            seen = torch.where(grid.paint(cells[at : at + batch_size]), images[here], filled[here])
            parts.append(sureness(_logits(model, seen), labels[here]))
        margin, odds = (torch.cat(column).numpy() for column in zip(*parts, strict=True))
        return margin, odds

    return ask


def sureness(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Margin p_y - max_{c≠y} p_c and log-odds z_y - log Σ_{c≠y} exp z_c of the correct class, float64 [M] each."""
    scores = logits.double()
    right = scores.gather(1, labels[:, None])[:, 0]
    others = scores.scatter(1, labels[:, None], -torch.inf)
    shares = torch.softmax(scores, 1)
    margin = shares.gather(1, labels[:, None])[:, 0] - shares.scatter(1, labels[:, None], -1.0).amax(1)
    return margin, right - torch.logsumexp(others, 1)


@torch.no_grad()
def _logits(model: nn.Module, images: Tensor) -> Tensor:
    parameter = next(model.parameters(), None)
    device = images.device if parameter is None else parameter.device
    return model(images.to(device, memory_format=torch.channels_last)).float().cpu()


def occlusion_maps(ask: Ask, count: int, cells: int) -> NDArray[np.float64]:
    """How much surer of the correct class the network is with a cell than without it, log-odds, [N, n].

    Positive: the cell is evidence for the class. Every cell is filled once, including those at the border (Zeiler and
    Fergus 2014, with cells instead of their sliding square).
    """
    hidden = ~np.eye(cells, dtype=bool)
    shown = np.concatenate([np.ones((1, cells), bool), hidden])
    odds = ask(np.repeat(np.arange(count), cells + 1), np.tile(shown, (count, 1)))[1].reshape(count, cells + 1)
    return odds[:, :1] - odds[:, 1:]

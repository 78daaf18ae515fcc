"""Cells cover the image, fillings are what they say, and sureness is the softmax's."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from unmask.audit.measures.occlusion import MOST_CELLS, Grid, asking, choose_grid, fill_images, occlusion_maps, sureness


@pytest.mark.case("occlusion filled with the mean color, called black, and left out the border")
@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 80))
@settings(max_examples=60, deadline=None)
def test_every_pixel_belongs_to_one_cell(height: int, width: int, side: int) -> None:
    """Cells shown one at a time add up to the whole image, cut cells at the border included."""
    grid = Grid((height, width), side)
    painted = grid.paint(torch.eye(grid.cells, dtype=torch.bool))
    assert painted.shape == (grid.cells, 1, height, width)
    assert bool((painted.sum(0) == 1).all())
    assert bool(painted.flatten(1).any(1).all())


@given(st.integers(1, 300), st.integers(1, 300))
@settings(max_examples=60, deadline=None)
def test_default_cells_are_the_smallest_that_are_few(height: int, width: int) -> None:
    """At most 64, and one pixel less a side would be more."""
    grid = choose_grid((height, width))
    assert grid.cells <= MOST_CELLS
    assert grid.side == 1 or Grid((height, width), grid.side - 1).cells > MOST_CELLS


def test_default_cells_of_common_sizes() -> None:
    """8 x 8 of them; and a side can be chosen."""
    assert [choose_grid((side, side)).side for side in (32, 64, 224)] == [4, 8, 28]
    assert choose_grid((32, 48), 16).shape == (2, 3)


def _fill(kind: str, pixels: Tensor, ids: list[int], seed: int = 0) -> Tensor:
    mean, std = (0.2, 0.7), (0.1, 0.05)
    return fill_images(pixels, torch.tensor(ids), kind, mean=mean, std=std, side=4, seed=seed)  # type: ignore[arg-type]


@pytest.mark.case("occlusion filled with the mean color, called black, and left out the border")
def test_fillings() -> None:
    """The mean color; a blur that keeps constants; noise with the data's moments, keyed by image and seed."""
    pixels = torch.rand(3, 2, 20, 24, generator=torch.Generator().manual_seed(0))
    expected = torch.tensor([0.2, 0.7])[None, :, None, None].expand_as(pixels)
    torch.testing.assert_close(_fill("mean", pixels, [0, 1, 2]), expected)
    blurred = _fill("blur", pixels, [0, 1, 2])
    assert float(blurred.std()) < 0.2 * float(pixels.std())
    torch.testing.assert_close(_fill("blur", torch.full_like(pixels, 0.3), [0, 1, 2]), torch.full_like(pixels, 0.3))
    noise = _fill("noise", pixels, [5, 6, 7])
    assert float(noise[:, 0].mean()) == pytest.approx(0.2, abs=0.01)
    assert float(noise[:, 1].std()) == pytest.approx(0.05, rel=0.1)
    assert torch.equal(noise[1:2], _fill("noise", pixels[:1], [6]))
    assert not torch.equal(noise, _fill("noise", pixels, [5, 6, 7], seed=1))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2)])
def test_thin_images_are_filled(size: tuple[int, int]) -> None:
    """A blur wider than the image is cut to it."""
    pixels = torch.rand(1, 2, *size, generator=torch.Generator().manual_seed(0))
    for kind in ("mean", "blur", "noise"):
        filled = _fill(kind, pixels, [0])
        assert filled.shape == pixels.shape
        assert torch.isfinite(filled).all()


def test_sureness_is_that_of_the_softmax() -> None:
    """p = 1/2, 1/4, 1/4: margin 1/4, log-odds 0; and log-odds far beyond what a probability tells from 1."""
    logits = torch.tensor([[math.log(2.0), 0.0, 0.0]])
    margin, odds = sureness(logits.repeat(2, 1), torch.tensor([0, 1]))
    assert margin.tolist() == pytest.approx([0.25, -0.25])
    assert odds.tolist() == pytest.approx([0.0, math.log(1 / 3)], abs=1e-6)
    margin, odds = sureness(torch.tensor([[50.0, 0.0], [60.0, 0.0]]), torch.tensor([0, 0]))
    assert odds.tolist() == pytest.approx([50.0, 60.0])
    assert margin.tolist() == pytest.approx([1.0, 1.0])


class _Sums(nn.Module):
    """Logit 1 is a weighted sum of the pixels, logit 0 is 0."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights)

    def forward(self, images: Tensor) -> Tensor:
        score = (images[:, 0] * self.weights).sum((1, 2))
        return torch.stack([torch.zeros_like(score), score], 1)


def test_occlusion_of_a_linear_network_is_what_each_cell_adds() -> None:
    """Filled with 0, a cell takes away exactly its own sum; for the other class with the other sign."""
    generator = torch.Generator().manual_seed(0)
    images, weights = torch.rand(2, 1, 5, 7, generator=generator), torch.randn(5, 7, generator=generator)
    grid = Grid((5, 7), 2)
    ask = asking(_Sums(weights), images, torch.zeros_like(images), torch.tensor([1, 0]), grid, batch_size=5)
    found = occlusion_maps(ask, 2, grid.cells)
    added = torch.einsum("bhw,mhw->bm", images[:, 0] * weights, grid.paint(torch.eye(grid.cells))[:, 0])
    np.testing.assert_allclose(found, (added * torch.tensor([[1.0], [-1.0]])).numpy(), atol=1e-5)

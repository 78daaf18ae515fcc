"""Patches, targets and the loss against their definitions written by hand."""

from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unmask.config import TargetConfig
from unmask.targets.pixels import VARIANCE_FLOOR, hidden_loss, paint, patchify, pixel_target, unpatchify
from unmask.targets.target import PixelTarget


@pytest.mark.case("patches were square only")
@given(st.integers(1, 13), st.integers(1, 4), st.integers(1, 4), st.sampled_from([1, 2, 4, 8]))
def test_round_trip_of_any_shape(channels: int, rows: int, columns: int, cell: int) -> None:
    """Bit-exact, not square, any channels; D = C · cell²."""
    images = torch.rand(2, channels, rows * cell, columns * cell)
    cells = patchify(images, cell)
    assert cells.shape == (2, channels * cell * cell, rows, columns)
    assert torch.equal(unpatchify(cells, cell), images)


def test_a_cell_holds_its_own_pixels() -> None:
    """Cell (1, 2) of a 16 x 32 image with cells of 8 is rows 8..15, columns 16..23."""
    images = torch.arange(2 * 16 * 32, dtype=torch.float32).reshape(1, 2, 16, 32)
    cell = patchify(images, 8)[0, :, 1, 2].reshape(2, 8, 8)
    assert torch.equal(cell, images[0, :, 8:16, 16:24])


def _loss_by_hand(prediction: torch.Tensor, target: torch.Tensor, hidden: torch.Tensor) -> float:
    total, count = 0.0, 0
    for b in range(hidden.shape[0]):
        for i in range(hidden.shape[1]):
            for j in range(hidden.shape[2]):
                if hidden[b, i, j]:
                    difference = prediction[b, :, i, j] - target[b, :, i, j]
                    total += float((difference**2).mean())
                    count += 1
    return total / count


def test_loss_is_the_mean_over_hidden_cells() -> None:
    """Against three loops; visible cells do not count."""
    generator = torch.Generator().manual_seed(0)
    prediction, target = torch.randn(2, 3, 12, 4, 5, generator=generator)
    hidden = torch.rand(3, 4, 5, generator=generator) < 0.6
    loss = hidden_loss(prediction, target, target, hidden)
    assert float(loss.total / loss.number) == pytest.approx(_loss_by_hand(prediction, target, hidden), rel=1e-5)
    elsewhere = prediction + (~hidden).unsqueeze(1) * 100
    assert torch.equal(hidden_loss(elsewhere, target, target, hidden).total, loss.total)


@pytest.mark.case("the loss was good, the picture bad")
def test_baseline_is_the_loss_of_the_cells_means() -> None:
    """What "predict the mean of each cell" would reach, from the same function."""
    target = torch.randn(2, 16, 3, 3, generator=torch.Generator().manual_seed(1))
    hidden = torch.ones(2, 3, 3, dtype=torch.bool)
    flat = PixelTarget(16, 4, normalized=False).flat(target)
    assert torch.equal(flat[:, 3], target.mean(1))
    loss = hidden_loss(target, target, flat, hidden)
    assert float(loss.total) == 0
    assert float(loss.baseline) == pytest.approx(float(hidden_loss(flat, target, flat, hidden).total))


@pytest.mark.parametrize("name", ["pixels", "normalized_pixels"])
def test_the_flat_prediction_is_what_its_name_says(name: Literal["pixels", "normalized_pixels"]) -> None:
    """Each cell's own mean, which is zero for normalized pixels."""
    target = PixelTarget(16, 4, normalized=name == "normalized_pixels")
    values = target(torch.randn(2, 1, 12, 12, generator=torch.Generator().manual_seed(1)))
    means = values.mean(1, keepdim=True).expand_as(values)
    torch.testing.assert_close(target.flat(values), means)
    assert TargetConfig(target=name).baseline_name == "each cell's mean"


def test_normalized_target_has_zero_mean_and_unit_deviation() -> None:
    """Up to the floor: deviation² = v / (v + floor)."""
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    target = pixel_target(images, 8, normalized=True)
    variance = patchify(images, 8).var(1, unbiased=False)
    torch.testing.assert_close(target.mean(1), torch.zeros(2, 2, 2), atol=1e-6, rtol=0)
    torch.testing.assert_close(target.var(1, unbiased=False), variance / (variance + VARIANCE_FLOOR))


@pytest.mark.case("the normalized target of a constant cell was not finite")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_constant_cells_are_finite(dtype: torch.dtype) -> None:
    """A black image has the target 0 in every precision."""
    target = pixel_target(torch.full((1, 1, 8, 8), 0.3, dtype=dtype), 4, normalized=True)
    assert torch.isfinite(target).all()
    torch.testing.assert_close(target, torch.zeros_like(target), atol=1e-2, rtol=0)


@pytest.mark.case("pictures of reconstructions had wrong colors")
@pytest.mark.parametrize("normalized", [True, False])
def test_a_perfect_prediction_paints_the_image(normalized: bool) -> None:
    """And the masked picture is gray exactly where cells are hidden."""
    images = torch.randn(2, 3, 16, 32, generator=torch.Generator().manual_seed(3))
    hidden = torch.zeros(2, 2, 4, dtype=torch.bool)
    hidden[0, 0, 0] = hidden[1, 1, 1] = True
    masked, filled = paint(images, pixel_target(images, 8, normalized=normalized), hidden, 8, normalized=normalized)
    torch.testing.assert_close(filled, images, atol=1e-5, rtol=0)
    assert (masked[0, :, :8, :8] == 0).all()
    assert (masked[1, :, 8:, 8:16] == 0).all()
    assert torch.equal(masked[0, :, 8:], images[0, :, 8:])

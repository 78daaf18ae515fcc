"""Masks: drawn anew, counted exactly, and seen by the loss only."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tiny import draw, load
from unmask.config import EncoderConfig, MaskConfig, PretrainConfig
from unmask.data.decoding.image_format import ImageFormat
from unmask.encoders.build import build_model
from unmask.encoders.masked import masked_encoder
from unmask.errors import UserError
from unmask.masking import draw_masks
from unmask.stages.reconstructor import build_reconstructor
from unmask.targets.pixels import hidden_loss, paint, pixel_target


@pytest.mark.slow
@pytest.mark.case("every worker and epoch had the same masks")
@pytest.mark.parametrize("workers", [0, 2])
def test_masks_differ_between_samples_and_epochs_whatever_reads_them(tmp_path: Path, workers: int) -> None:
    """8 samples, 2 epochs: 16 different masks, the same with and without workers, and again for the same seed."""
    draw(tmp_path, *(f"{index}.png" for index in range(8)), size=(32, 32))
    data = load(tmp_path, labels=False, cache_mib=0, workers=workers)
    config = MaskConfig(mask_ratio=0.5)

    def masks(seed: int) -> list[bytes]:
        found = []
        for epoch in range(2):
            for batch in data.pretrain.batches(torch.arange(8), 3, epoch=epoch):
                ids = batch.ids.numpy()
                found += [m.numpy().tobytes() for m in draw_masks(config, (8, 8), seed=seed, epoch=epoch, ids=ids)]
        return found

    assert len(set(masks(0))) == 16
    assert masks(0) == masks(0)
    assert not set(masks(0)) & set(masks(1))


@pytest.mark.case("a ratio of 0.0 was read as not given")
@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.1, 1.5, math.nan])
def test_a_ratio_out_of_range_is_never_another_value(ratio: float) -> None:
    """An error before data are read."""
    with pytest.raises(UserError, match="mask_ratio"):
        MaskConfig(mask_ratio=ratio)


@pytest.mark.case("with no hidden cell the loss was 0 / 0")
@pytest.mark.parametrize("pattern", ["random", "block", "grid"])
def test_on_a_tiny_grid_something_is_hidden_and_something_seen(pattern: str) -> None:
    """And a loss over no cell is 0."""
    for ratio in (0.01, 0.5, 0.99):
        config = MaskConfig(mask_ratio=ratio, mask_pattern=pattern)  # type: ignore[arg-type]
        hidden = draw_masks(config, (2, 2), seed=0, epoch=0, ids=np.arange(20)).flatten(1).sum(1)
        assert hidden.min() >= 1
        assert hidden.max() <= 3
    nothing = torch.zeros(2, 2, 2, dtype=torch.bool)
    loss = hidden_loss(torch.zeros(2, 4, 2, 2), torch.ones(2, 4, 2, 2), torch.zeros(2, 4, 2, 2), nothing)
    assert float(loss.total / loss.number.clamp_min(1)) == 0


@pytest.mark.case("the class token shifted the mask by one cell")
def test_exactly_the_hidden_cells_are_painted_and_scored() -> None:
    """Hidden {0, 5} of a ViT's 4x4 grid."""
    model = build_model(EncoderConfig(encoder="test_vit"), in_chans=1, image_size=(64, 64)).eval()
    encoder = masked_encoder(model, image_size=(64, 64))
    hidden = torch.zeros(1, 16, dtype=torch.bool)
    hidden[0, [0, 5]] = True
    hidden = hidden.view(1, *encoder.grid)
    images = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    last = encoder(images, hidden).maps[-1]
    assert torch.equal((last == 0).all(1), hidden)
    target = pixel_target(images, encoder.cell, normalized=False)
    wrong = target + 1
    loss = hidden_loss(wrong, target, target, hidden)
    assert float(loss.number) == 2
    assert float(loss.total) == pytest.approx(2)
    masked, filled = paint(images, wrong, hidden, encoder.cell, normalized=False)
    for picture in (masked, filled):
        changed = (picture != images).view(4, 16, 4, 16).any(3).any(1)
        assert torch.equal(changed, hidden[0])


@pytest.mark.case("three channels were hard-coded")
@pytest.mark.parametrize("channels", [1, 4, 13])
def test_any_number_of_channels(channels: int) -> None:
    """The target has cell x cell x C numbers; the whole network trains on them."""
    config = PretrainConfig(encoder=EncoderConfig(encoder="test_resnet"))
    config = replace(config, recipe=replace(config.recipe, mask=MaskConfig(cell=32)))
    network, target = build_reconstructor(config, ImageFormat.plain((64, 64), channels, "uint8"))
    assert target.dimension == 32 * 32 * channels
    hidden = torch.tensor([[[True, False], [False, True]]])
    images = torch.randn(1, channels, 64, 64)
    assert network.eval()(images, hidden).shape == target(images).shape

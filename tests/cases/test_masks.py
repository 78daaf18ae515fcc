"""CASES 18 to 28: what went wrong elsewhere with masks.

Tested elsewhere: 21 test_masking (exact count in every row), 23 targets/test_pixels (round trip of any shape), 24, 25
laws/test_encoders (no leak, zeros, statistics over visible positions), 26 stages/test_classifier
(test_hidden_cells_are_for_training_only), 28 targets/test_pixels (a perfect prediction paints the image).
"""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from unmask.config import EncoderConfig, MaskConfig, PretrainConfig
from unmask.data.imageset import batches
from unmask.data.load import load_data
from unmask.encoders.build import build_model
from unmask.encoders.masked import masked_encoder
from unmask.errors import UserError
from unmask.masking import draw_masks
from unmask.targets.pixels import hidden_loss, paint, pixel_target


@pytest.mark.parametrize("workers", [0, 2])
def test_18_masks_differ_between_samples_and_epochs_whatever_reads_them(tmp_path: object, workers: int) -> None:
    """8 samples, 2 epochs: 16 different masks, the same with and without workers, and again for the same seed."""
    folder = tmp_path / "images"  # type: ignore[operator]
    folder.mkdir()
    for index in range(8):
        Image.fromarray(np.full((32, 32), 20 * index, np.uint8)).save(folder / f"{index}.png")
    from unmask.config import DataConfig

    data = load_data(DataConfig(data=str(folder), cache_mib=0, workers=workers), labels=False, progress=False)
    config = MaskConfig(mask_ratio=0.5)

    def masks(seed: int) -> list[bytes]:
        found = []
        for epoch in range(2):
            for batch in batches(data.pretrain, torch.arange(8), 3, mean=data.mean, std=data.std, epoch=epoch):
                ids = batch.ids.numpy()
                found += [m.numpy().tobytes() for m in draw_masks(config, (8, 8), seed=seed, epoch=epoch, ids=ids)]
        return found

    assert len(set(masks(0))) == 16
    assert masks(0) == masks(0)
    assert not set(masks(0)) & set(masks(1))


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.1, 1.5, math.nan])
def test_19_a_ratio_out_of_range_is_never_another_value(ratio: float) -> None:
    with pytest.raises(UserError, match="mask_ratio"):
        MaskConfig(mask_ratio=ratio)


@pytest.mark.parametrize("pattern", ["random", "block", "grid"])
def test_20_on_a_tiny_grid_something_is_hidden_and_something_seen(pattern: str) -> None:
    for ratio in (0.01, 0.5, 0.99):
        config = MaskConfig(mask_ratio=ratio, mask_pattern=pattern)  # type: ignore[arg-type]
        hidden = draw_masks(config, (2, 2), seed=0, epoch=0, ids=np.arange(20)).flatten(1).sum(1)
        assert hidden.min() >= 1
        assert hidden.max() <= 3
    nothing = torch.zeros(2, 2, 2, dtype=torch.bool)
    loss = hidden_loss(torch.zeros(2, 4, 2, 2), torch.ones(2, 4, 2, 2), torch.zeros(2, 4, 2, 2), nothing)
    assert float(loss.total / loss.number.clamp_min(1)) == 0


def test_22_exactly_the_hidden_cells_are_painted_and_scored() -> None:
    """Hidden {0, 5} of a ViT's 4x4 grid: the class token does not shift them."""
    model = build_model(EncoderConfig(encoder="test_vit"), channels=1, image_size=(64, 64)).eval()
    encoder = masked_encoder(model, image_size=(64, 64))
    hidden = torch.zeros(1, 16, dtype=torch.bool)
    hidden[0, [0, 5]] = True
    hidden = hidden.view(1, *encoder.grid)
    images = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    last = encoder(images, hidden).maps[-1]
    assert torch.equal((last == 0).all(1), hidden)
    target = pixel_target(images, encoder.cell, normalised=False)
    wrong = target + 1
    loss = hidden_loss(wrong, target, target, hidden)
    assert float(loss.number) == 2
    assert float(loss.total) == pytest.approx(2)
    masked, filled = paint(images, wrong, hidden, encoder.cell, normalised=False)
    for picture in (masked, filled):
        changed = (picture != images).view(4, 16, 4, 16).any(3).any(1)
        assert torch.equal(changed, hidden[0])


@pytest.mark.parametrize("channels", [1, 4, 13])
def test_27_any_number_of_channels(channels: int) -> None:
    """The target has cell x cell x C numbers; the whole network trains on them."""
    from dataclasses import replace

    from unmask.stages.reconstructor import build_reconstructor

    config = PretrainConfig(encoder=EncoderConfig(encoder="test_resnet"))
    config = replace(config, recipe=replace(config.recipe, mask=MaskConfig(cell=32)))
    network, target = build_reconstructor(config, channels=channels, image_size=(64, 64))
    assert target.dimension == 32 * 32 * channels
    hidden = torch.tensor([[[True, False], [False, True]]])
    images = torch.randn(1, channels, 64, 64)
    assert network.eval()(images, hidden).shape == target(images).shape

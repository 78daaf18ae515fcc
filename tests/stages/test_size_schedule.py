"""Pretraining on images of several sizes: what each step sees, what a network gives at other sizes, resuming."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import tiny
from unmask.config import EncoderConfig, MaskConfig, PretrainConfig, PretrainRecipe, TargetConfig
from unmask.data.decoding.image_format import ImageFormat
from unmask.data.load import Dataset
from unmask.encoders import laws
from unmask.encoders.build import build_model
from unmask.encoders.masked import masked_encoder
from unmask.errors import UserError
from unmask.masking import draw_masks
from unmask.runs.metrics import read_metrics
from unmask.stages.pretrain import pretrain
from unmask.stages.reconstructor import Reconstructor, build_reconstructor
from unmask.training.checkpoint import load_tensors
from unmask.training.step import Step
from unmask.weights.card import load_weights

SWIN = EncoderConfig(
    encoder="swin_tiny_patch4_window7_224",
    encoder_options={"embed_dim": 12, "depths": (2,), "num_heads": (2,), "window_size": 2, "patch_size": 2},
)


def _config(encoder: EncoderConfig, schedule: str, *, mask: MaskConfig | None = None, **target: Any) -> PretrainConfig:
    """Eight steps of 16 images, the last of them of 16 x 16 pixels."""
    recipe = tiny.pretrain_recipe(
        mask=mask or MaskConfig(cell=4, mask_ratio=0.5),
        target=TargetConfig(decoder_width=8, **target),
        steps=8,
        batch_size=16,
    )
    return PretrainConfig(data=tiny.DATA, encoder=encoder, recipe=replace(recipe, size_schedule=schedule))


def _built(
    encoder: EncoderConfig, size: int, schedule: str | None, *, execution: str = "auto", **target: Any
) -> Reconstructor:
    config = replace(_config(encoder, schedule or f"{size}:1", **target), execution=execution)  # type: ignore[arg-type]
    network, _ = build_reconstructor(config, ImageFormat.plain((size, size), 1, "uint8"))
    return network.double().eval()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoder", "target"),
    [(tiny.RESNET, {"target": "ema_teacher"}), (tiny.VIT, {"decoder": "transformer", "predict": 0.5})],
)
@pytest.mark.parametrize("stop", [3, 4])
def test_resume_is_bit_equal_over_a_change_of_size(
    data: Dataset, tmp_path: Path, encoder: EncoderConfig, target: dict[str, Any], stop: int
) -> None:
    """Stopped before and at the change; the export is of the last size."""
    config = replace(_config(encoder, "8:0.5,16:0.5", **target), save_every=0.25)
    sizes: list[int] = []

    def look(step: Step) -> None:
        step.network.register_forward_pre_hook(lambda network, inputs: sizes.append(inputs[0].shape[2]))

    def stopping(step: Step) -> None:
        if step.step == stop:
            raise KeyboardInterrupt

    whole = pretrain(config, tmp_path / "whole", progress=False, dataset=data, on_step=look)
    assert {8, 16} == set(sizes)
    with pytest.raises(KeyboardInterrupt):
        pretrain(config, tmp_path / "part", progress=False, dataset=data, on_step=stopping)
    part = pretrain(config, tmp_path / "part", resume=True, progress=False, dataset=data)
    assert read_metrics(whole) == read_metrics(part)
    one, two = (load_tensors(run / "encoder.safetensors")[0] for run in (whole, part))
    assert all(torch.equal(tensor, two[name]) for name, tensor in one.items())
    weights, card = load_weights(whole / "encoder.safetensors")
    assert card is not None
    assert card.format.size == (16, 16)
    plain = build_model(encoder, in_chans=1, image_size=(16, 16))
    plain.load_state_dict(weights, strict=True)


def test_each_step_has_its_size_and_ratio(data: Dataset, tmp_path: Path) -> None:
    """Five steps of small images, three of large ones; two with few hidden cells, six with more."""
    mask = MaskConfig(cell=4, mask_ratio=0.75, mask_ratio_schedule="0.5:0.25,0.75:0.75")
    config = replace(_config(tiny.PATCHNET, "8:0.6,16:0.4", mask=mask), picture_every=100.0)
    seen: list[tuple[int, int]] = []

    def network(module: Any, inputs: tuple[Tensor, ...]) -> None:
        if module.training and len(inputs[0]) > 2:
            seen.append((inputs[0].shape[2], int(inputs[1][0].sum())))

    def begin(step: Step) -> None:
        if step.step == 1:
            step.network.register_forward_pre_hook(network)

    pretrain(config, tmp_path / "run", progress=False, dataset=data, on_step=begin)
    assert seen == [(8, 2), *[(8, 3)] * 3, *[(16, 12)] * 3]


@pytest.mark.parametrize(
    ("encoder", "decoder", "execution"),
    [
        (tiny.RESNET, "convolution", "packed"),
        (tiny.resnet(unstrided=1), "linear", "packed"),
        (tiny.resnet(unstrided=1), "convolution", "dense"),
        (tiny.PATCHNET, "linear", "dense"),
    ],
)
def test_a_cnn_gives_at_another_size_what_one_built_for_it_gives(
    encoder: EncoderConfig, decoder: str, execution: str
) -> None:
    """Nothing leaks there either."""
    images = torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    hidden = draw_masks(MaskConfig(mask_ratio=0.5), (4, 4), seed=0, epoch=0, ids=range(3))
    several = _built(encoder, 32, "16:0.5,32:0.5", execution=execution, decoder=decoder)
    alone = _built(encoder, 16, None, execution=execution, decoder=decoder)
    torch.testing.assert_close(several(images, hidden), alone(images, hidden), rtol=1e-9, atol=1e-9)
    assert laws.leak(several.encoder, images, hidden) == 0


@pytest.mark.parametrize("decoder", ["convolution", "transformer"])
def test_a_vit_gives_at_another_size_what_one_with_resampled_positions_gives(decoder: str) -> None:
    """timm's own change of a model's input size, and the decoder's positions likewise."""
    images = torch.randn(3, 1, 24, 24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    hidden = draw_masks(MaskConfig(mask_ratio=0.5), (6, 6), seed=0, epoch=0, ids=range(3))
    several = _built(tiny.VIT, 32, "24:0.5,32:0.5", decoder=decoder)
    model: Any = build_model(tiny.VIT, in_chans=1, image_size=(32, 32)).double().eval()
    model.set_input_size(img_size=(24, 24))
    alone = masked_encoder(model, image_size=(24, 24), cell=4)
    for one, two in zip(several.encoder(images, hidden).maps, alone(images, hidden).maps, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-6)
    assert laws.leak(several.encoder, images, hidden) == 0
    assert several(images, hidden, hidden).shape == (3, 16, 6, 6)


@pytest.mark.parametrize(
    ("encoder", "schedule", "line"),
    [
        (tiny.RESNET, "10:0.5,16:0.5", "size_schedule: image_size = 10x10 is not divisible by the mask cell of 4"),
        (tiny.RESNET, "4:0.5,16:0.5", r"size_schedule: 4x4 is one mask cell of 4 pixels"),
        (tiny.RESNET, "8:0.5,32:0.5", "size_schedule ends at 32x32, the images are 16x16: give `image_size="),
        (
            EncoderConfig(
                encoder="vit_relpos_small_patch16_224",
                encoder_options={"patch_size": 4, "embed_dim": 16, "depth": 1, "num_heads": 2},
            ),
            "8:0.5,16:0.5",
            r"size_schedule: VisionTransformerRelPos is made for one image size and cannot take 8x8",
        ),
    ],
)  # fmt: skip
def test_sizes_that_do_not_fit_are_one_line_before_any_work(
    data: Dataset, tmp_path: Path, encoder: EncoderConfig, schedule: str, line: str
) -> None:
    with pytest.raises(UserError, match=line):
        pretrain(_config(encoder, schedule), tmp_path / "run", progress=False, dataset=data)
    assert not (tmp_path / "run").exists()


def test_filled_cells_and_frozen_teachers_take_several_sizes(data: Dataset, tmp_path: Path) -> None:
    """A Swin whose windows fit both."""
    first = pretrain(_config(tiny.VIT, "16:1"), tmp_path / "first", progress=False, dataset=data)
    config = _config(SWIN, "8:0.5,16:0.5", target="frozen_teacher", teacher=str(first))
    run = pretrain(config, tmp_path / "run", progress=False, dataset=data)
    assert read_metrics(run)[-1].step == 8


def test_values_that_are_missing_stay_missing_when_images_shrink(data: Dataset) -> None:
    """A smaller pixel is there where all are that it is made of."""
    batch = next(iter(data.pretrain.batches(torch.arange(4), 4)))
    valid = torch.ones_like(batch.images, dtype=torch.bool)
    valid[:, :, :4, :4] = False
    small = replace(batch, valid=valid).resized((8, 8))
    assert small.images.shape == (4, 1, 8, 8)
    assert small.valid is not None
    assert not small.valid[:, :, :2, :2].any()
    assert small.valid[:, :, 4:, 4:].all()
    assert batch.resized((16, 16)) is batch


def test_a_recipe_without_schedule_is_as_before() -> None:
    assert PretrainRecipe().sizes((16, 24)).values == ((16, 24),)

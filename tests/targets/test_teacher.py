"""Teacher targets: normalization, averaging, and the recurrence of the teacher's weights."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from unmask.config import EncoderConfig, TargetConfig
from unmask.data.decoding.image_format import ImageFormat
from unmask.encoders.build import build_model
from unmask.encoders.masked import masked_encoder
from unmask.targets.target import TeacherTarget
from unmask.targets.teacher import follow, instance_normalized, momentum_at, teacher_features, to_cells


def _maps(*shapes: tuple[int, ...]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) * 3 + 1 for shape in shapes]


def test_every_channel_of_every_image_is_normalized() -> None:
    """Against torch's instance_norm."""
    (features,) = _maps((3, 5, 4, 6))
    torch.testing.assert_close(instance_normalized(features), nn.functional.instance_norm(features))
    assert torch.isfinite(instance_normalized(torch.full((1, 2, 3, 3), 7.0))).all()


def test_stages_are_stacked_and_blocks_averaged() -> None:
    """Maps of different channels: D is their sum; equal maps: their mean, as in data2vec."""
    coarse, fine = _maps((2, 8, 2, 2), (2, 4, 8, 8))
    stacked = teacher_features([fine, coarse], (4, 4))
    assert stacked.shape == (2, 12, 4, 4)
    torch.testing.assert_close(stacked[:, :4], instance_normalized(nn.functional.avg_pool2d(fine, 2)))
    one, two = _maps((2, 4, 4, 4), (2, 4, 4, 4))
    mean = (instance_normalized(one) + instance_normalized(two)) / 2
    torch.testing.assert_close(teacher_features([one, two], (4, 4)), mean)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 8), st.integers(1, 8))
def test_targets_are_normalized_on_the_grid_of_cells(height: int, width: int, rows: int, columns: int) -> None:
    """Mean 0 and variance v / (v + ε) over the cells, whatever the map's size: repeats may be unequal."""
    (features,) = _maps((2, 3, height, width))
    cells = to_cells(features, (rows, columns)).double()
    variance, mean = torch.var_mean(cells, dim=(2, 3), keepdim=True, correction=0)
    expected = (cells - mean) / (variance + 1e-5).sqrt()
    found = teacher_features([features], (rows, columns))
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-3)


def test_cells_of_a_coarse_map_repeat() -> None:
    """Nearest: a 1x1 map gives every cell its value."""
    (features,) = _maps((1, 3, 1, 1))
    assert torch.equal(to_cells(features, (2, 3)), features.expand(1, 3, 2, 3))


@given(st.integers(2, 1000), st.floats(0, 1), st.floats(0, 1))
def test_momentum_is_linear_between_its_ends(total: int, start: float, end: float) -> None:
    """First step, last step, and the middle."""
    assert momentum_at(0, total, (start, end)) == pytest.approx(start)
    assert momentum_at(total - 1, total, (start, end)) == pytest.approx(end)
    both = momentum_at(0, 3, (start, end)) + momentum_at(2, 3, (start, end))
    assert momentum_at(1, 3, (start, end)) == pytest.approx(both / 2)


def test_teacher_follows_as_an_exponential_average() -> None:
    """After n steps of a constant student: s + mⁿ (t₀ - s), for weights and BatchNorm buffers; counters are copied."""
    teacher, student = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    nn.init.constant_(teacher.weight, 5.0)
    student.running_mean = torch.full((3,), 2.0)
    student.num_batches_tracked = torch.tensor(9)
    for _ in range(4):
        follow(teacher, student, 0.5)
    torch.testing.assert_close(teacher.weight.data, torch.full((3,), 1 + 0.5**4 * 4))
    torch.testing.assert_close(teacher.running_mean, torch.full((3,), 2 - 0.5**4 * 2))
    assert teacher.num_batches_tracked == 9


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_the_teachers_mode_is_a_choice(mode: str) -> None:
    """train: BatchNorm uses the batch, so an image's target depends on its companions; eval: it does not."""
    model = build_model(
        EncoderConfig(encoder="resnet10t", encoder_options={"channels": (4, 4, 4, 4)}), in_chans=1, image_size=(64, 64)
    )
    encoder = masked_encoder(model, image_size=(64, 64), execution="dense")
    target = TeacherTarget(encoder, encoder.grid, stages=1, momentum=None, mode=mode, shape=(1, 64, 64))
    images = torch.randn(4, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    alone, together = target(images[:2]), target(images)[:2]
    assert torch.allclose(alone, together, atol=1e-5) == (mode == "eval")
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not target(images).requires_grad


@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224"])
def test_the_flat_prediction_is_what_its_name_says(name: str) -> None:
    """Zero is each channel's mean over the image, for stacked stages and for averaged blocks."""
    options = {"channels": (4, 4, 4, 4)} if name == "resnet10t" else {"embed_dim": 12, "depth": 2}
    model = build_model(EncoderConfig(encoder=name, encoder_options=options), in_chans=1, image_size=(64, 64))
    encoder = masked_encoder(model, image_size=(64, 64), cell=16, execution="dense")
    target = TeacherTarget(encoder, encoder.grid, stages=2, momentum=None, mode="train", shape=(1, 64, 64))
    values = target(torch.randn(4, 1, 64, 64, generator=torch.Generator().manual_seed(1)))
    means = values.mean((2, 3), keepdim=True).expand_as(values)
    torch.testing.assert_close(target.flat(values), means, atol=1e-5, rtol=0)
    assert TargetConfig(target="ema_teacher").baseline_name == "each teacher channel's mean over the image"


def test_a_frozen_teacher_sees_its_own_normalization() -> None:
    """Its target of the student's images is that of the same images as it was trained on; a note says the values."""
    model = build_model(
        EncoderConfig(encoder="resnet10t", encoder_options={"channels": (4, 4, 4, 4)}), in_chans=2, image_size=(64, 64)
    )
    plain = ImageFormat.plain((64, 64), 2, "uint8")
    own, students = (
        replace(plain, mean=mean, std=std) for mean, std in (((0.1, 0.5), (0.2, 0.4)), ((0.7, 0.3), (0.1, 0.3)))
    )
    pixels = torch.rand(3, 2, 64, 64, generator=torch.Generator().manual_seed(0))

    def target(format: ImageFormat | None, seen: ImageFormat) -> TeacherTarget:
        encoder = masked_encoder(model, image_size=(64, 64), execution="dense")
        shape = (2, 64, 64)
        made = TeacherTarget(encoder, encoder.grid, stages=2, momentum=None, mode="eval", shape=shape, format=format)
        made.begin(model, torch.device("cpu"), seen)
        return made

    expected = target(None, own)(own.normalize(pixels))
    found = target(own, students)
    torch.testing.assert_close(found(students.normalize(pixels)), expected, rtol=0, atol=1e-4)
    assert found.notes == ["the teacher sees images normalized as for its weights (mean 0.1 0.5, deviation 0.2 0.4)"]
    assert not torch.allclose(target(None, students)(students.normalize(pixels)), expected, atol=1e-2)
    assert target(own, own).notes == []

"""Augmentation against oracles: exact flips and shifts, crops by plain sampling, color by its formula."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from unmask.config import AugmentConfig
from unmask.data.augment import augment_images, axis_grid, crop_boxes, move_masks, sample_means
from unmask.randomness import uniform

OFF = {"crop_scale": (1.0, 1.0), "flip_horizontal": 0.0}
IDS = torch.arange(64)


def pictures(channels: int = 3, height: int = 12, width: int = 20) -> torch.Tensor:
    return torch.rand(64, channels, height, width, generator=torch.Generator().manual_seed(0))


def augmented(images: torch.Tensor, **config: object) -> torch.Tensor:
    return augment_images(images, IDS, AugmentConfig(**(OFF | config)), seed=1, epoch=0)  # type: ignore[arg-type]


def test_all_off_is_the_identity() -> None:
    images = pictures()
    assert augmented(images) is images


@pytest.mark.parametrize(("field", "axis"), [("flip_horizontal", 3), ("flip_vertical", 2)])
def test_flips_are_exact_and_as_frequent_as_asked(field: str, axis: int) -> None:
    images = pictures()
    torch.testing.assert_close(augmented(images, **{field: 1.0}), images.flip(axis), rtol=0, atol=2e-6)
    half = augmented(images, **{field: 0.5})
    flipped = (half - images).abs().amax((1, 2, 3)) > 1e-3
    torch.testing.assert_close(half[flipped], images[flipped].flip(axis), rtol=0, atol=2e-6)
    assert 16 < int(flipped.sum()) < 48


def test_the_two_flips_are_independent() -> None:
    corner = torch.zeros(64, 1, 4, 4)
    corner[:, 0, 0, 0] = 1
    out = augmented(corner, flip_horizontal=0.5, flip_vertical=0.5)[:, 0]
    seen = {(i, j): int((out[:, i, j] > 0.99).sum()) for i in (0, 3) for j in (0, 3)}
    assert sum(seen.values()) == 64
    assert min(seen.values()) > 5


def test_shifts_move_by_whole_pixels_and_repeat_the_edge() -> None:
    images = pictures()
    out = augmented(images, shift=0.25)
    u = uniform(1, "flip and shift", 0, IDS.numpy(), 4)
    down, right = np.round(0.25 * (2 * u[:, 2] - 1) * 12), np.round(0.25 * (2 * u[:, 3] - 1) * 20)
    for i in range(64):
        rows = np.clip(np.arange(12) - down[i], 0, 11).astype(int)
        columns = np.clip(np.arange(20) - right[i], 0, 19).astype(int)
        torch.testing.assert_close(out[i], images[i][:, rows][:, :, columns], rtol=0, atol=2e-5)
    assert np.abs(down).max() == 3
    assert np.abs(right).max() == 5


def test_a_crop_on_pixel_edges_equals_cutting_out_and_resizing() -> None:
    images = pictures(height=16, width=16)[:1]
    y = axis_grid(16, np.array([0.25]), np.array([0.5]), np.array([False]), np.zeros(1))
    x = axis_grid(16, np.array([0.0]), np.array([0.5]), np.array([False]), np.zeros(1))
    grid = torch.stack([x[:, None, :].expand(-1, 16, -1), y[:, :, None].expand(-1, -1, 16)], -1)
    out = torch.nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    oracle = interpolate(images[:, :, 4:12, 0:8], size=(16, 16), mode="bilinear", align_corners=False)
    inner = (slice(None), slice(None), slice(1, 15), slice(0, 15))  # beyond the cut, sampling sees the neighbors
    torch.testing.assert_close(out[inner], oracle[inner], rtol=0, atol=1e-5)


@given(st.floats(0.05, 1), st.floats(0.3, 1), st.floats(1, 3), st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_crops_lie_inside_and_have_the_area_asked_for(low: float, ratio_low: float, ratio_high: float, s: int) -> None:
    config = AugmentConfig(crop_scale=(low, 1.0), crop_ratio=(ratio_low, ratio_high))
    top, left, height, width = crop_boxes(config, s, 0, np.arange(200)).T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= 1 + 1e-12).all()
    assert (left + width <= 1 + 1e-12).all()
    uncut = (height < 1) & (width < 1)
    assert (height * width <= 1).all()
    assert (height[uncut] * width[uncut] >= low - 1e-12).all()
    ratio = width[uncut] / height[uncut]
    assert (ratio >= ratio_low - 1e-9).all()
    assert (ratio <= ratio_high + 1e-9).all()


def test_crops_sample_a_linear_image_linearly() -> None:
    """A ramp stays a ramp: its slope is the crop's length, its start the crop's edge."""
    config = AugmentConfig(crop_scale=(0.3, 0.9), flip_horizontal=0.0)
    ramp = ((torch.arange(32) + 0.5) / 32).expand(64, 1, 32, 32).contiguous()
    out = augment_images(ramp, IDS, config, seed=5, epoch=1)
    _, left, _, width = torch.from_numpy(crop_boxes(config, 5, 1, IDS.numpy())).float().T
    expected = (left[:, None] + width[:, None] * (torch.arange(32) + 0.5) / 32).clamp(0.5 / 32, 31.5 / 32)
    torch.testing.assert_close(out[:, 0, 7], expected, rtol=0, atol=1e-5)


def test_brightness_contrast_and_saturation_follow_their_formulas() -> None:
    images = 0.3 + 0.4 * pictures()
    u = torch.from_numpy(2 * uniform(1, "colour", 0, IDS.numpy(), 3) - 1).float()[:, :, None, None, None]
    bright = augmented(images, brightness=0.2)
    torch.testing.assert_close(bright, (images * (1 + 0.2 * u[:, 0])).clamp(0, 1))
    mean = images.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(
        augmented(images, contrast=0.4), (mean + (images - mean) * (1 + 0.4 * u[:, 1])).clamp(0, 1)
    )
    gray = (images * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    torch.testing.assert_close(
        augmented(images, saturation=0.4), (gray + (images - gray) * (1 + 0.4 * u[:, 2])).clamp(0, 1)
    )


def test_saturation_leaves_other_channel_counts_alone() -> None:
    images = pictures(channels=4)
    assert torch.equal(augmented(images, saturation=0.9), images)


def test_the_mean_of_an_image_does_not_depend_on_its_batch() -> None:
    images = pictures(height=37, width=41)
    alone = torch.cat([sample_means(image[None]) for image in images])
    assert torch.equal(sample_means(images), alone)


CONFIGS = st.builds(
    AugmentConfig,
    crop_scale=st.floats(0.05, 1).map(lambda low: (low, 1.0)),
    crop_ratio=st.floats(0.3, 1).map(lambda low: (low, 1 / low)),
    flip_horizontal=st.sampled_from([0.0, 0.5, 1.0]),
    flip_vertical=st.sampled_from([0.0, 0.5, 1.0]),
    shift=st.floats(0, 0.5),
    brightness=st.just(0.0),
)


@settings(max_examples=60, deadline=None)
@given(CONFIGS, st.integers(0, 2**31), st.integers(0, 5), st.integers(5, 17), st.integers(5, 17))
def test_masks_stay_on_their_images_under_every_augmentation(
    config: AugmentConfig, seed: int, epoch: int, height: int, width: int
) -> None:
    """Of one image a class, moved as images are, the nearest pixel has a quarter of the weight at least: where a class
    has more than three quarters, the mask must name it."""
    generator = torch.Generator().manual_seed(seed)
    masks = torch.randint(0, 3, (4, height // 3 + 1, width // 3 + 1), generator=generator)
    masks = masks.repeat_interleave(3, 1).repeat_interleave(3, 2)[:, :height, :width].to(torch.uint8)
    masks[masks == 2] = 255
    shown = torch.stack([masks == value for value in (0, 1, 255)], 1).float()
    ids, keys = torch.arange(4) + seed, {"seed": seed, "epoch": epoch}
    moved_images = augment_images(shown, ids, config, **keys)
    moved_masks = move_masks(masks, ids, config, **keys)
    assert moved_masks.dtype == torch.uint8
    sure, which = moved_images.max(1)
    clear = sure > 0.751
    assert clear.float().mean() > 0.3
    torch.testing.assert_close(moved_masks[clear], torch.tensor([0, 1, 255], dtype=torch.uint8)[which][clear])

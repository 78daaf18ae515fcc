"""The laboratory's pictures are what their ground truth says."""

import numpy as np
import pytest

from unmask.config import DataConfig
from unmask.data.load import load_data
from unmask.data.sources.multiview import MultiViewConfig, draw_multiview, objects, places, textures
from unmask.errors import UserError

CLEAN = MultiViewConfig(distractors=0, clutter=0.0, noise=0.0)


def patches(images: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """What is in the boxes, in units of a part's standard deviation, (n, 8, 8)."""
    values = (images[:, 0] / 255 - 0.5) / CLEAN.contrast
    return np.stack([image[t:b, le:r] for image, (t, le, b, r) in zip(values, boxes, strict=True)])


def test_parts_lie_in_their_boxes_at_their_strength_and_nothing_else_is_there() -> None:
    drawn = draw_multiview(CLEAN, "train", np.zeros(200, np.int64))
    rest = drawn.images.copy()
    for part, strength in enumerate((1.0, CLEAN.weak_strength)):
        seen = patches(drawn.images, drawn.boxes[:, part])
        texture = textures(CLEAN)[drawn.labels, part]
        fitted = (seen * texture).sum((1, 2)) / np.square(texture).sum((1, 2))
        assert (0.88 * strength < fitted).all()
        assert (fitted < 1.12 * strength).all()
        expected = np.clip(fitted[:, None, None] * texture, -0.5 / CLEAN.contrast, 0.5 / CLEAN.contrast)
        assert np.abs(seen - expected).max() < 0.1
        for image, (top, left, bottom, right) in zip(rest, drawn.boxes[:, part], strict=True):
            image[0, top:bottom, left:right] = 128
    assert set(np.unique(rest)) == {128}


def test_textures_are_orthogonal_of_zero_mean_and_unit_variance() -> None:
    flat = textures(MultiViewConfig()).reshape(20, 64)
    np.testing.assert_allclose(flat @ flat.T / 64, np.eye(20), atol=1e-5)
    np.testing.assert_allclose(flat.mean(1), 0, atol=1e-6)


def test_an_image_of_one_part_shows_only_that_part() -> None:
    shows = np.arange(300) % 3
    drawn = draw_multiview(CLEAN, "test", shows)
    assert np.array_equal(drawn.parts_present, np.stack([shows != 2, shows != 1], 1))
    assert (drawn.boxes[~drawn.parts_present] == -1).all()
    lit = (drawn.images != 128).sum((1, 2, 3))
    assert (lit[shows != 0] <= 64).all()
    assert (lit[shows == 0] > 64).all()


def test_distractors_are_faint_parts_of_other_classes_and_cover_neither_parts_nor_each_other() -> None:
    config = MultiViewConfig(classes=2, clutter=0.0, noise=0.0)
    drawn = draw_multiview(config, "train", np.zeros(300, np.int64))
    which, strength = objects(config, "train", np.arange(300), drawn.labels, drawn.parts_present)
    assert (which[:, 2:] // 2 == 1 - drawn.labels[:, None]).all()
    assert (which[:, :2] == 2 * drawn.labels[:, None] + np.arange(2)).all()
    assert set(np.unique(which)) == {0, 1, 2, 3}
    assert (strength[:, 2:] >= 0.2).all()
    assert (strength[:, 2:] <= 0.4).all()
    corners = places(config, "train", np.arange(300), strength > 0)
    assert np.array_equal(corners[:, :2], drawn.boxes[:, :, :2])
    apart = np.abs(corners[:, :, None] - corners[:, None]).max(-1) >= 8
    assert apart[:, :2, 2:].all()
    assert apart[:, 2, 3].mean() > 0.97  # where no place is left, one distractor covers the other


def test_own_parts_never_overlap_and_are_everywhere() -> None:
    boxes = draw_multiview(MultiViewConfig(), "train", np.zeros(3000, np.int64)).boxes
    apart = np.abs(boxes[:, 0, :2] - boxes[:, 1, :2]).max(1)
    assert apart.min() >= 8
    assert boxes.min() == 0
    assert boxes.max() == 32


@pytest.mark.parametrize("config", [MultiViewConfig(parts=3, step=1), MultiViewConfig(parts=4, step=8, part_size=8)])
def test_as_many_parts_as_are_allowed_always_find_a_place(config: MultiViewConfig) -> None:
    boxes = draw_multiview(config, "train", np.zeros(2000, np.int64)).boxes
    assert (boxes % config.step == 0).all()
    for i in range(config.parts):
        for j in range(i):
            assert np.abs(boxes[:, i, :2] - boxes[:, j, :2]).max(1).min() >= 8


def test_the_place_of_a_part_is_uniform() -> None:
    """The first part has 25 x 25 places: chi-square of its rows and columns stays below the 0.999 quantile (52.6)."""
    corners = draw_multiview(MultiViewConfig(), "train", np.zeros(5000, np.int64)).boxes[:, 0, :2]
    for axis in range(2):
        counts = np.bincount(corners[:, axis], minlength=25)
        assert np.square(counts - 200).sum() / 200 < 52.6


def test_images_do_not_depend_on_how_many_are_drawn_except_for_their_class() -> None:
    config = MultiViewConfig(classes=2)
    many = draw_multiview(config, "train", np.zeros(1500, np.int64))
    few = draw_multiview(config, "train", np.zeros(1200, np.int64))
    same = many.labels[:1200] == few.labels
    assert same.any()
    assert np.array_equal(many.boxes[:1200][same], few.boxes[same])
    assert np.array_equal(many.images[:1200][same], few.images[same])


@pytest.mark.parametrize("other", [{"seed": 1}, {"noise": 0.31}])
def test_the_same_settings_give_the_same_bits_and_others_do_not(other: dict[str, float]) -> None:
    shows = np.zeros(20, np.int64)
    first = draw_multiview(MultiViewConfig(), "train", shows).images
    assert np.array_equal(first, draw_multiview(MultiViewConfig(), "train", shows).images)
    assert not np.array_equal(first, draw_multiview(MultiViewConfig(**other), "train", shows).images)  # type: ignore[arg-type]


def test_the_data_set_has_the_splits_it_promises() -> None:
    options = {"images": 400, "val_images": 90, "test_images": 150, "single_view_share": 0.5, "parts": 2}
    data = load_data(DataConfig(options=options), labels=True, progress=False)  # type: ignore[arg-type]
    assert data.train is not None
    assert data.val is not None
    assert (len(data.pretrain), len(data.train), len(data.val)) == (400, 400, 90)
    assert {name: len(images) for name, images in data.tests.items()} == {
        "test": 150,
        "multi": 50,
        "single_1": 50,
        "single_2": 50,
    }
    assert sorted(i for name in ("multi", "single_1", "single_2") for i in data.tests[name].ids.tolist()) == (
        data.tests["test"].ids.tolist()
    )
    assert np.ptp(np.bincount(data.train.labels.numpy())) == 0


def test_single_view_share_is_the_share_of_training_images_with_one_part() -> None:
    options = {"images": 2000, "single_view_share": 0.3, "distractors": 0, "noise": 0.0, "clutter": 0.0}
    data = load_data(DataConfig(options=options), labels=True, progress=False)  # type: ignore[arg-type]
    lit = (data.pretrain.raw(range(2000)) != 128 / 255).sum((1, 2, 3))
    assert 0.26 < float((lit <= 64).float().mean()) < 0.34


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clases": 3}, "no option .*clases.*classes"),
        ({"parts": 5}, "parts = 5 .* at most 3"),
        ({"weak_strength": 2.0}, r"weak_strength = 2.0 .* \[0, 1\]"),
        ({"images": "many"}, r"options.images: expected a whole number, found 'many'"),
    ],
)
def test_wrong_options_are_named(options: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_data(DataConfig(options=options), labels=True)  # type: ignore[arg-type]

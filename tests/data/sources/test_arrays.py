"""Arrays: layouts, number types, labels, splits and groups arrive as they are stored, or are asked for."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unmask.config import DataConfig
from unmask.data.check.report import check_data
from unmask.data.decoding.channel_axis import image_of, images_of
from unmask.data.load import load_data
from unmask.data.sources.arrays import read_arrays
from unmask.errors import UserError

RNG = np.random.default_rng(0)
GRAY = np.zeros((3, 8, 8), np.uint8)


@pytest.mark.parametrize("shape", [(9, 8, 6), (9, 8, 6, 3), (9, 3, 8, 6)])
def test_array_layouts(shape: tuple[int, ...]) -> None:
    values = RNG.integers(0, 256, shape, dtype=np.uint8)
    expected = values[:, None] if len(shape) == 3 else values if shape[1] == 3 else np.moveaxis(values, 3, 1)
    assert np.array_equal(images_of(values), expected)


@pytest.mark.parametrize("shape", [(9,), (9, 8), (9, 3, 8, 3), (0, 8, 8), (2, 3, 4, 5, 6)])
def test_other_array_layouts_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="shape"):
        images_of(np.zeros(shape, np.uint8))


@pytest.mark.case("100 bands of 64 x 64 pixels were read as 64 bands of 64 x 100")
@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((64, 64, 100), (100, 64, 64)),
        ((100, 64, 64), (100, 64, 64)),
        ((13, 64, 64), (13, 64, 64)),
        ((5, 20, 24), (5, 20, 24)),
        ((20, 24, 5), (5, 20, 24)),
        ((1, 1, 3), (3, 1, 1)),
        ((13, 48, 64), None),
        ((48, 64, 13), None),
        ((8, 6, 4), (4, 8, 6)),
        ((3, 3, 64), None),
        ((8, 8, 8), None),
    ],
)
def test_the_channel_axis_is_sure_or_asked_for(
    shape: tuple[int, int, int], wanted: tuple[int, int, int] | None
) -> None:
    """Never guessed; told, it is as told."""
    one, many = np.zeros(shape, np.uint8), np.zeros((7, *shape), np.uint8)
    if wanted is None:
        with pytest.raises(UserError, match=r"not certain which axis holds the channels: give `layout"):
            image_of(one)
        with pytest.raises(UserError, match=r"not certain which axis holds the channels: give `layout"):
            images_of(many)
    else:
        assert (image_of(one).shape, images_of(many).shape) == (wanted, (7, *wanted))
    assert image_of(one, "channels-first").shape == shape
    assert images_of(many, "channels-last").shape == (7, shape[2], *shape[:2])


@pytest.mark.case("the layout was told and not asked")
def test_the_layout_reaches_every_reader_of_arrays(tmp_path: Path) -> None:
    """.npz, .npy of many images, .npy files of one image each, arrays of a torch Dataset."""
    images = RNG.integers(0, 256, (12, 12, 16, 11), dtype=np.uint8)
    np.save(tmp_path / "x.npy", images)
    np.savez(tmp_path / "x.npz", images=images)
    (tmp_path / "folder").mkdir()
    for index, image in enumerate(images):
        np.save(tmp_path / "folder" / f"{index}.npy", image)
    for path in (tmp_path / "x.npy", tmp_path / "x.npz", tmp_path / "folder"):
        with pytest.raises(UserError, match="not certain"):
            load_data(DataConfig(data=str(path)), labels=False, progress=False)
        config = DataConfig(data=str(path), layout="channels-last")
        assert load_data(config, labels=False, progress=False).format.shape == (11, 12, 16)
    config = DataConfig(data="given:x", layout="channels-last")
    assert load_data(config, labels=False, progress=False, given=list(images)).format.shape == (11, 12, 16)


@pytest.mark.case("big-endian and signed arrays were refused")
@pytest.mark.parametrize("dtype", [">u2", "<u2", ">f4", ">i2", "int8", ">f8"])
@pytest.mark.parametrize("cache_mib", [4096, 0])
def test_arrays_of_any_byte_order_keep_their_values(tmp_path: Path, dtype: str, cache_mib: int) -> None:
    kind = np.dtype(dtype)
    images = RNG.integers(0, 100, (20, 8, 8)).astype(kind)
    np.savez(tmp_path / "x.npz", images=images, labels=np.arange(20) % 2)
    (tmp_path / "one").mkdir()
    for index, image in enumerate(images):
        np.save(tmp_path / "one" / f"{index:02}.npy", image)
    for path in (tmp_path / "x.npz", tmp_path / "one"):
        data = load_data(DataConfig(data=str(path), cache_mib=cache_mib, workers=0), labels=False, progress=False)
        low, high = data.format.value_range
        stored = data.readable.raw(range(20)) * (high - low) + low
        np.testing.assert_allclose(stored[:, 0].numpy(), images.astype(np.float64), atol=1e-3)
        assert data.format.kind == ("uint16" if kind.kind == "u" else "float32")


def test_npz_with_labels_groups_and_split(tmp_path: Path) -> None:
    images = RNG.integers(0, 65536, (20, 8, 8, 4), dtype=np.uint16)
    split = np.repeat(["train", "val", "test"], [10, 5, 5])
    np.savez(tmp_path / "x.npz", images=images, labels=np.arange(20) % 2, groups=np.arange(20), split=split)
    data = load_data(DataConfig(data=str(tmp_path / "x.npz")), labels=True, progress=False)
    assert data.format.channels == 4
    assert data.format.value_range == (0.0, 65535.0)
    assert data.val is not None
    assert (len(data.pretrain), len(data.val), len(data.tests["test"])) == (10, 5, 5)
    expected = images.transpose(0, 3, 1, 2)[data.pretrain.ids.numpy()].astype(np.float32) / 65535
    assert np.allclose(data.pretrain.raw(range(10)).numpy(), expected, rtol=0, atol=1e-7)


def test_npz_in_the_manner_of_medmnist(tmp_path: Path) -> None:
    parts = {}
    for name, count in (("train", 12), ("val", 4), ("test", 6)):
        parts[f"{name}_images"] = RNG.integers(0, 256, (count, 8, 8), dtype=np.uint8)
        parts[f"{name}_labels"] = (np.arange(count) % 2)[:, None]
    np.savez(tmp_path / "x.npz", **parts)
    source = read_arrays(tmp_path / "x.npz", labels=True)
    assert source.splits.tolist() == ["train"] * 12 + ["val"] * 4 + ["test"] * 6
    assert source.labels.tolist() == [0, 1] * 11
    assert source.names[12] == "val[0]"


def test_npy_is_mapped_and_unlabeled(tmp_path: Path) -> None:
    values = RNG.normal(size=(30, 8, 8)).astype(np.float32)
    np.save(tmp_path / "x.npy", values)
    cached = load_data(DataConfig(data=str(tmp_path / "x.npy")), labels=False, progress=False)
    streamed = load_data(DataConfig(data=str(tmp_path / "x.npy"), cache_mib=0, workers=0), labels=False, progress=False)
    low, high = cached.format.value_range
    assert (low, high) == (values.min(), values.max())
    for data in (cached, streamed):
        assert (len(data.pretrain), data.train, data.val, data.tests) == (30, None, None, {})
        raw = data.pretrain.raw(range(30))[:, 0].numpy()
        np.testing.assert_allclose(raw, (values - low) / (high - low), rtol=0, atol=1e-6)
        assert raw.min() == 0
    with pytest.raises(UserError, match=r"labels of two or more classes are needed: store them as np.savez"):
        load_data(DataConfig(data=str(tmp_path / "x.npy")), labels=True)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": np.zeros((3, 8, 8), np.uint8)}, "no array images or train_images; found pictures"),
        ({"images": GRAY, "labels": np.arange(2)}, r"x\.npz: labels: shape \(2,\) for 3 images, expected \(3,\) or"),
        (
            {"images": GRAY, "labels": np.eye(3)},
            r"labels: each row of labels has one 1: store the argmax of one-hot rows",
        ),
        ({"images": GRAY, "labels": np.array([7, -1, 7])}, "needed: all 2 labels are of one class$"),
        ({"images": GRAY, "labels": np.array([-1, -1, -1])}, "needed: store them as np.savez"),
        ({"images": GRAY, "labels": np.arange(3), "split": np.arange(2)}, r"split: shape \(2,\) for 3 images"),
        ({"images": np.zeros((3, 8, 8), np.int64), "labels": np.arange(3)}, "int64 are not supported"),
    ],
)
def test_a_wrong_npz_is_refused(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(UserError, match=message):
        load_data(DataConfig(data=str(tmp_path / "x.npz")), labels=True, progress=False)


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ((16, 16, 3), "shape (16, 16, 3) is one color image, or 16 gray ones of 16x3: give `layout"),
        ((3, 16, 16), "or 3 gray ones of 16x16"),
        ((16, 16, 12), ""),
        ((5, 16, 16, 3), ""),
    ],
)
@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_one_color_image_is_not_read_as_many_gray_ones(
    tmp_path: Path, suffix: str, shape: tuple[int, ...], says: str
) -> None:
    path, images = tmp_path / f"x.{suffix}", RNG.integers(0, 256, shape, dtype=np.uint8)
    np.save(path, images) if suffix == "npy" else np.savez(path, images=images)
    config = DataConfig(data=str(path))
    if not says:
        assert load_data(config, labels=False, progress=False).format.channels == (3 if len(shape) == 4 else 1)
        return
    for read in (lambda: load_data(config, labels=False, progress=False), lambda: check_data(config, progress=False)):
        with pytest.raises(UserError, match=re.escape(says)):
            read()
    loaded = load_data(replace(config, layout="gray"), labels=False, progress=False)
    assert (loaded.format.channels, len(loaded.readable)) == (1, shape[0])


def test_pickles_in_arrays_are_never_run(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=np.array([{"a": 1}], dtype=object))
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object))
    for name in ("x.npz", "x.npy"):
        with pytest.raises(UserError, match=name):
            load_data(DataConfig(data=str(tmp_path / name)), labels=False)

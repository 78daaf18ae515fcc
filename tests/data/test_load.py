"""The data set as a whole: no image twice across splits, measured statistics, a fingerprint."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from unmask.config import DataConfig
from unmask.data.decoding.image_format import ImageFormat, to_format
from unmask.data.load import Dataset, load_data
from unmask.data.statistics import channel_ranges, channel_statistics, value_range
from unmask.errors import UserError

RNG = np.random.default_rng(0)


def stored(path: Path, images: np.ndarray, **more: np.ndarray) -> DataConfig:
    np.savez(path, images=images, labels=np.arange(len(images)) % 2, **more)
    return DataConfig(data=str(path))


def load(config: DataConfig) -> Dataset:
    return load_data(config, labels=True, progress=False)


@pytest.mark.parametrize("cache_mib", [4096, 0])
def test_no_content_is_in_two_splits(tmp_path: Path, cache_mib: int) -> None:
    unique = RNG.integers(0, 256, (40, 8, 8), dtype=np.uint8)
    images = np.concatenate([unique, unique, unique])
    data = load(replace(stored(tmp_path / "x.npz", images), cache_mib=cache_mib))
    assert data.val is not None
    sets = [data.pretrain, data.val, data.tests["test"]]
    contents = [{image.numpy().tobytes() for image in images.raw(range(len(images)))} for images in sets]
    assert all(contents)
    assert sum(map(len, contents)) == len(set.union(*contents))
    assert any("exact duplicates across splits" in note for note in data.notes)
    assert len(data.tests["test"]) == 24


def test_transductive_pretraining_sees_everything_and_says_so(tmp_path: Path) -> None:
    config = replace(stored(tmp_path / "x.npz", RNG.integers(0, 256, (40, 8, 8), dtype=np.uint8)), transductive=True)
    data = load(config)
    assert data.pretrain.ids.tolist() == list(range(40))
    assert len(data.train or ()) < 40
    assert any("transductive" in note for note in data.notes)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_statistics_are_those_of_numpy_over_the_pretraining_images(tmp_path: Path, kind: type) -> None:
    values = RNG.random((50, 3, 6, 7)) ** 2
    values = values.astype(kind) if kind is np.float32 else (values * np.iinfo(kind).max).astype(kind)
    data = load(stored(tmp_path / "x.npz", values))
    raw = data.pretrain.raw(range(len(data.pretrain))).double().numpy()
    np.testing.assert_allclose(data.format.mean, raw.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(data.format.std, raw.std((0, 2, 3)), rtol=1e-6)


def test_statistics_ignore_validation_and_test(tmp_path: Path) -> None:
    images = RNG.integers(0, 100, (40, 8, 8), dtype=np.uint8)
    split = np.repeat(["train", "val", "test"], [20, 10, 10])
    images[20:] += 155
    data = load(stored(tmp_path / "x.npz", images, split=split))
    assert data.format.mean[0] == pytest.approx(images[:20].mean() / 255)


def test_a_constant_channel_has_a_finite_inverse_deviation() -> None:
    values = torch.full((5, 1, 4, 4), 7, dtype=torch.uint8)
    assert channel_statistics(values, torch.arange(5), (0.0, 255.0)) == ((7 / 255,), (1e-4,))


def test_a_window_maps_percentiles_to_0_and_1_and_clips(tmp_path: Path) -> None:
    images = RNG.normal(3000, 100, (60, 16, 16)).clip(0, 65535).astype(np.uint16)
    images[:, 0, 0] = 60000
    plain = load(stored(tmp_path / "x.npz", images))
    data = load(replace(stored(tmp_path / "x.npz", images), window=(1.0, 99.0)))
    low, high = np.percentile(images[data.pretrain.ids.numpy()], [1, 99])
    assert data.format.value_range == (np.floor(low), np.ceil(high))
    assert data.format.clipped
    raw = data.pretrain.raw(range(len(data.pretrain)))
    assert (raw.min(), raw.max()) == (0, 1)
    assert raw.std() > 10 * plain.pretrain.raw(range(len(data.pretrain))).std() or raw.std() > 0.2
    np.testing.assert_allclose(data.format.mean, raw.double().mean(), rtol=1e-5)
    np.testing.assert_allclose(data.format.std, raw.double().numpy().std(), rtol=1e-5)


def test_float_images_beyond_0_to_1_take_their_own_range() -> None:
    values = torch.tensor([-3.0, 0.0, 5.0]).view(3, 1, 1, 1)
    assert value_range(values, torch.arange(3), "float32", None) == (-3.0, 5.0)
    assert value_range(values / 10 + 0.4, torch.arange(3), "float32", None) == (0.0, 1.0)
    assert value_range(values / 10, torch.arange(3), "float32", None) == pytest.approx((-0.3, 0.5))
    assert value_range(torch.full((2, 1, 1, 1), 9.0), torch.arange(2), "float32", None) == (9.0, 10.0)


@pytest.mark.parametrize("change", ["pixel", "label", "split", "size"])
def test_the_fingerprint_changes_with_content_labels_splits_and_size(tmp_path: Path, change: str) -> None:
    images = RNG.integers(0, 256, (40, 8, 8), dtype=np.uint8)
    config = stored(tmp_path / "x.npz", images)
    before = load(config).fingerprint
    assert load(config).fingerprint == before
    if change == "pixel":
        images[17, 3, 3] ^= 1
        stored(tmp_path / "x.npz", images)
    elif change == "label":
        np.savez(tmp_path / "x.npz", images=images, labels=np.roll(np.arange(40) % 2, 1))
    else:
        config = replace(config, split_seed=1) if change == "split" else replace(config, image_size=(9, 9))
    assert load(config).fingerprint != before


def test_images_of_several_sizes_meet_at_224_unless_told_otherwise(tmp_path: Path) -> None:
    from PIL import Image

    for i in range(4):
        (tmp_path / f"{i % 2}").mkdir(exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (10 + i, 12), dtype=np.uint8)).save(tmp_path / f"{i % 2}" / f"{i}.png")
    config = DataConfig(data=str(tmp_path))
    assert load_data(config, labels=False, progress=False).format.size == (224, 224)
    asked = load_data(replace(config, image_size=(6, 9), channels=3), labels=False, progress=False)
    assert asked.pretrain.raw([0]).shape == (1, 3, 6, 9)


def test_a_class_that_is_tested_but_never_trained_is_refused(tmp_path: Path) -> None:
    images = RNG.integers(0, 256, (30, 8, 8), dtype=np.uint8)
    labels = np.repeat(["a", "b", "c"], 10)
    split = np.repeat(["train", "test"], [20, 10])
    np.savez(tmp_path / "x.npz", images=images, labels=labels, split=split)
    with pytest.raises(UserError, match="class c has validation or test images, but no training image"):
        load(DataConfig(data=str(tmp_path / "x.npz")))


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
@pytest.mark.parametrize("cache_mib", [4096, 0])
def test_images_that_are_not_finite_are_named_or_skipped_before_training(
    tmp_path: Path, suffix: str, cache_mib: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unmask.data.headers.PIECE", 1000)
    images = RNG.random((30, 8, 8))
    images[3, 0, 0], images[17, 7, 7], images[29, 1, 1] = np.inf, -np.inf, 1e300
    path = tmp_path / f"x{suffix}"
    np.save(path, images) if suffix == ".npy" else np.savez(path, images=images, labels=np.arange(30) % 2)
    config = DataConfig(data=str(path), cache_mib=cache_mib, workers=0)
    with pytest.raises(UserError, match=r"^x\[3\]: the image holds values that are not finite \(3 of 30 files"):
        load_data(config, labels=False, progress=False)
    data = load_data(replace(config, on_bad_file="skip"), labels=False, progress=False)
    assert [message.partition(":")[0] for message in data.bad_files] == ["x[3]", "x[17]", "x[29]"]
    assert not {3, 17, 29} & set(data.pretrain.ids.tolist())
    assert np.isfinite([*data.format.mean, *data.format.std, *data.format.value_range]).all()
    assert bool(data.pretrain.raw(range(len(data.pretrain))).isfinite().all())


@pytest.mark.parametrize(
    ("size", "says"),
    [
        (None, []),
        ((24, 48), []),
        ((48, 96), ["all images are 24x48 (height x width) and are resized to 48x96 by"]),
        ((32, 32), ["all images are 24x48 (height x width) and are resized to 32x32, which stretches them, by"]),
    ],
)
@pytest.mark.parametrize("form", ["array", "folder"])
def test_that_images_of_one_size_are_resized_is_said(
    tmp_path: Path, form: str, size: tuple[int, int] | None, says: list[str]
) -> None:
    images = RNG.integers(0, 256, (20, 24, 48), dtype=np.uint8)
    config = DataConfig(data=str(tmp_path), image_size=size)
    if form == "array":
        config = replace(stored(tmp_path / "x.npz", images), image_size=size)
    for i, image in enumerate(images):
        (tmp_path / "ab"[i % 2]).mkdir(exist_ok=True)
        np.save(tmp_path / "ab"[i % 2] / f"{i}.npy", image)
    notes = [note for note in load(config).notes if "resized" in note]
    assert [note[: len(text)] for note, text in zip(notes, says, strict=True)] == says
    assert all(note.endswith("; `image_size=(24, 48)` leaves them as they are") for note in notes)


def test_with_a_given_format_nothing_is_measured(tmp_path: Path) -> None:
    """Images of any size, number of channels and 8 bits are brought to the format, even if none is for training."""
    images = RNG.integers(0, 256, (6, 3, 10, 12), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", test_images=images, test_labels=np.arange(6) % 2)
    config = DataConfig(data=str(tmp_path / "x.npz"))
    with pytest.raises(UserError, match="no image is left for training"):
        load_data(config, labels=False, progress=False)
    wanted = ImageFormat((4, 6), 1, "uint16", (0.0, 4000.0), True, (0.25,), (0.5,))
    data = load_data(config, labels=False, progress=False, format=wanted)
    assert data.format == data.readable.format == wanted
    assert data.images("all").ids.tolist() == list(range(6))
    batch = next(data.images("test").batches(torch.arange(6), 6))
    stored = to_format(images, wanted).float()
    torch.testing.assert_close(batch.images, ((stored / 4000).clamp(0, 1) - 0.25) / 0.5)
    few = load_data(config, labels=False, progress=False, format=wanted, limit=3)
    assert [few.readable.names[i] for i in range(3)] == [data.readable.names[i] for i in (0, 2, 5)]
    with pytest.raises(UserError, match=r"split = 'val': the data have all, pretrain, test"):
        data.images("val")


@pytest.mark.case("a channel of values orders of magnitude smaller than another's was all but flat")
@pytest.mark.parametrize("cache_mib", [4096, 0])
@pytest.mark.parametrize("kind", ["float32", "uint16", "int16"])
def test_channels_of_different_magnitudes_reach_the_encoder_at_one_scale(
    tmp_path: Path, cache_mib: int, kind: str
) -> None:
    """Deviation 1 in each; a constant channel stays finite, and at 0."""
    large, small = {"float32": (1e6, 1.0), "uint16": (60000, 4), "int16": (30000, 3)}[kind]
    images = np.stack([RNG.random((40, 8, 8)) * large, RNG.random((40, 8, 8)) * small, np.ones((40, 8, 8))], 3)
    np.savez(tmp_path / "x.npz", images=images.round().astype(kind) if kind != "float32" else images.astype(kind))
    config = DataConfig(data=str(tmp_path / "x.npz"), cache_mib=cache_mib, workers=0, transductive=True)
    data = load_data(config, labels=False, progress=False)
    seen = next(data.pretrain.batches(torch.arange(40), 40)).images
    torch.testing.assert_close(seen.std((0, 2, 3), correction=0), torch.tensor([1.0, 1.0, 0.0]), atol=2e-3, rtol=0)
    assert seen.mean((0, 2, 3)).abs().max() < 1e-2


def _unlike_channels() -> np.ndarray:
    """Elevation in meters beside reflectance: (60, 2, 8, 8), magnitudes apart by three orders."""
    rng = np.random.default_rng(0)
    return np.stack([rng.uniform(200, 3000, (60, 8, 8)), rng.uniform(0.1, 0.9, (60, 8, 8))], 1).astype(np.float32)


@pytest.mark.case("channels of unlike magnitude shared one value range: a window cut one of them alone")
@pytest.mark.parametrize("window", [None, (5.0, 95.0)])
def test_channels_of_unlike_magnitude_have_ranges_of_their_own(
    tmp_path: Path, window: tuple[float, float] | None
) -> None:
    """Of floats, and under a window, which clips every channel at its own percentiles."""
    images = _unlike_channels()
    np.savez(tmp_path / "x.npz", images=images)
    config = DataConfig(data=str(tmp_path / "x.npz"), window=window, layout="channels-first")
    for cache in (4096, 0):
        data = load_data(replace(config, cache_mib=cache), labels=False, progress=False)
        (low, high), (small, large) = data.format.channel_ranges
        assert 200 <= low < high <= 3000
        assert 0 <= small < large <= 1
        values = data.pretrain.raw(range(60))
        assert [float(values[:, i].min()) for i in (0, 1)] == pytest.approx([0, 0.1 if window is None else 0], abs=0.02)
        assert [float(values[:, i].max()) for i in (0, 1)] == pytest.approx([1, 0.9 if window is None else 1], abs=0.02)
        seen = next(iter(data.pretrain.batches(torch.arange(60), 60))).images
        assert torch.allclose(seen.std(dim=(0, 2, 3)), torch.ones(2), atol=0.01)
    share = [(images[:, i] <= end).mean() for i, end in ((0, high), (1, large))]
    assert share == pytest.approx([1, 1] if window is None else [0.95, 0.95], abs=0.01)


def test_channels_of_like_magnitude_share_a_range() -> None:
    """So that colors stay what they are; floats in 0..1 and integers without a window, too."""
    values = torch.from_numpy(_unlike_channels())
    like = values.clone()
    like[:, 1] = like[:, 1] * 1000
    joint = value_range(like, torch.arange(60), "float32", None)
    assert channel_ranges(like, torch.arange(60), "float32", None, joint) == ()
    assert channel_ranges(values / 3000, torch.arange(60), "float32", None, (0.0, 1.0)) == ()
    whole = (0.0, 65535.0)
    assert channel_ranges(values.to(torch.uint16), torch.arange(60), "uint16", None, whole) == ()
    values[:, 1] = torch.nan
    joint = value_range(values, torch.arange(60), "float32", None)
    assert channel_ranges(values, torch.arange(60), "float32", None, joint) == ()

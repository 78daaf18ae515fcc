"""Manifests, arrays, folders and built-ins: labels, splits and groups arrive as they were given."""

import gzip
import os
import re
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from PIL import Image

from unmask.config import DataConfig
from unmask.data.check.report import check_data
from unmask.data.decoding.layout import image_of, images_of
from unmask.data.file_names import natural_key
from unmask.data.load import load_data
from unmask.data.sources.arrays import read_arrays
from unmask.data.sources.fashion_mnist import DEBIAN, fashion_mnist, read_idx
from unmask.data.sources.folder import read_folder
from unmask.data.sources.listing import list_images
from unmask.data.sources.manifest import read_manifest
from unmask.data.sources.read import read_source
from unmask.data.sources.torch_dataset import read_given
from unmask.errors import UserError

RNG = np.random.default_rng(0)


def draw(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (8, 8), dtype=np.uint8)).save(path)


def table(folder: Path, text: str) -> Path:
    for line in text.splitlines()[1:]:
        draw(folder / line.split(",")[0])
    (folder / "manifest.csv").write_text(text)
    return folder / "manifest.csv"


MANIFEST = (
    "path,label,group,split\na.png,2,p1,train\nb.png,10,p2,valid\nc.png,2,p3,test\nd.png,,p4,\ne.png,10,p1,train\n"
)


def test_a_manifest_gives_labels_groups_and_splits(tmp_path: Path) -> None:
    source = read_manifest(table(tmp_path, MANIFEST), labels=True)
    assert source.classes == ("2", "10")
    assert source.labels.tolist() == [0, 1, 0, -1, 1]
    assert source.splits.tolist() == ["train", "val", "test", "", "train"]
    assert source.groups is not None
    assert source.groups[0] == source.groups[4]
    assert len(set(source.groups.tolist())) == 4
    assert source.names == ("a.png", "b.png", "c.png", "d.png", "e.png")


def test_parquet_and_csv_with_semicolons_are_the_same_manifest(tmp_path: Path) -> None:
    read_csv = read_manifest(table(tmp_path, MANIFEST), labels=True)
    (tmp_path / "semicolon.csv").write_bytes(b"\xef\xbb\xbf" + MANIFEST.replace(",", ";").encode())
    header, *rows = (line.split(",") for line in MANIFEST.split())
    columns = {name: [row[i] for row in rows] for i, name in enumerate(header)}
    parquet.write_table(arrow.table({k: [v or None for v in vs] for k, vs in columns.items()}), tmp_path / "m.parquet")
    for name in ("semicolon.csv", "m.parquet"):
        other = read_manifest(tmp_path / name, labels=True)
        assert other.classes == read_csv.classes
        assert other.labels.tolist() == read_csv.labels.tolist()
        assert other.splits.tolist() == read_csv.splits.tolist()
        assert other.images == read_csv.images


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.png,1\n", "no column path; found file, label"),
        ("path\na.png\nb.png\n", "found no column label"),
        ("path,label\na.png,1\nb.png,1\n", r"two or more classes are needed, found the labels \['1'\]"),
        ("path,label,split\na.png,1,train\nb.png,2,tset\n", "split 'tset' of image 2"),
        ("path,label,group,split\na.png,1,p,train\nb.png,2,p,test\n", "group p is in test and train"),
        ("path,label\na.png,1\nb.png,2\na.png,1\n", "a.png is listed twice"),
        ("path,label\na.png,1\nb.png\n", "row 3 has 1 fields, the header 2"),
        ("path,label\n", "lists no image"),
    ],
)
def test_a_wrong_manifest_is_refused_with_its_reason(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(UserError, match=message) as error:
        read_manifest(tmp_path / "m.csv", labels=True)
    assert "m.csv" in str(error.value)


def test_a_file_that_a_manifest_lists_in_vain_is_named(tmp_path: Path) -> None:
    rows = "".join(f"{i}.png,{i % 2}\n" for i in range(12))
    manifest = table(tmp_path, "path,label\n" + rows)
    (tmp_path / "7.png").unlink()
    with pytest.raises(UserError, match=r"7\.png: No such file"):
        load_data(DataConfig(data=str(manifest)), labels=True, progress=False)
    data = load_data(DataConfig(data=str(manifest), on_bad_file="skip"), labels=True, progress=False)
    assert len(data.bad_files) == 1
    assert "7.png" in data.bad_files[0]


def test_no_group_crosses_a_split(tmp_path: Path) -> None:
    rows = "".join(f"{i}.png,{i % 2},g{i // 3}\n" for i in range(60))
    data = load_data(DataConfig(data=str(table(tmp_path, "path,label,group\n" + rows))), labels=True, progress=False)
    assert data.val is not None
    assert data.groups is not None
    homes = [set((images.ids // 3).tolist()) for images in (data.pretrain, data.val, data.tests["test"])]
    assert all(homes)
    assert sum(map(len, homes)) == len(set.union(*homes)) == 20
    assert len(data.groups) == len(data.train or ())


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


@pytest.mark.case("-1 was no label in one source and a class in another")
def test_minus_one_is_no_label_in_every_source(tmp_path: Path) -> None:
    """And how many images have none is said."""
    labels = [0, 1, -1, 1, 0, -1, 0, 1]
    images = RNG.integers(0, 256, (8, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", images=images, labels=labels)
    for name in ("rows", "classes"):
        (tmp_path / name).mkdir()
    for index, label in enumerate(labels):
        Image.fromarray(images[index]).save(tmp_path / "rows" / f"{index}.png")
        (tmp_path / "classes" / str(label)).mkdir(exist_ok=True)
        Image.fromarray(images[index]).save(tmp_path / "classes" / str(label) / f"{index}.png")
    rows = [f"rows/{index}.png,{label}" for index, label in enumerate(labels)]
    (tmp_path / "x.csv").write_text("\n".join(["path,label", *rows]))
    (tmp_path / "y.csv").write_text("\n".join(["path,label", *(f"{row}.0" for row in rows)]))
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for index, label in enumerate(labels):
            tar.add(tmp_path / "rows" / f"{index}.png", f"{index}.png")
            (tmp_path / "label").write_text(str(label))
            tar.add(tmp_path / "label", f"{index}.cls")
    for name in ("x.npz", "x.csv", "y.csv", "x.tar", "classes"):
        source = read_source(DataConfig(data=str(tmp_path / name)), labels=True)
        assert len(source.classes) == 2, name
        assert sorted(source.labels.tolist()) == [-1, -1, 0, 0, 0, 1, 1, 1], name
        assert any(note.startswith("2 images") and "pretraining only" in note for note in source.notes), name
    given = read_given(list(zip(images, labels, strict=True)), "x", labels=True)
    assert given.labels.tolist() == labels
    assert "2 images without a label are seen by pretraining only" in given.notes


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


GRAY = np.zeros((3, 8, 8), np.uint8)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": np.zeros((3, 8, 8), np.uint8)}, "no array images or train_images; found pictures"),
        ({"images": GRAY, "labels": np.arange(2)}, r"x\.npz: labels: shape \(2,\) for 3 images, wanted is \(3,\)$"),
        (
            {"images": GRAY, "labels": np.eye(3)},
            r"labels: shape \(3, 3\) for 3 images, wanted is \(3,\); of one-hot rows",
        ),
        ({"train_images": GRAY, "train_labels": np.array([0, 0.5, 1])}, "train_labels: 0.5 is not a class"),
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


def test_labels_are_the_same_classes_however_they_are_stored(tmp_path: Path) -> None:
    """Whole floats as integers, bytes as text; NaN, as tables have it for a missing integer, is unlabeled."""
    codes = [0, 1, -1, 1, 0, 2]
    for labels, classes in (
        (np.asarray(codes), ("0", "1", "2")),
        (np.asarray([0, 1, np.nan, 1, 0, 2]), ("0", "1", "2")),
        (np.asarray([[0], [1], [-1], [1], [0], [2]], np.float32), ("0", "1", "2")),
        (np.asarray([b"a", b"b", b"", b"b", b"a", b"c"]), ("a", "b", "c")),
    ):
        np.savez(tmp_path / "x.npz", images=np.zeros((6, 8, 8), np.uint8), labels=labels)
        source = read_source(DataConfig(data=str(tmp_path / "x.npz")), labels=True)
        assert (source.classes, source.labels.tolist()) == (classes, codes)
    rows = arrow.table({"path": [f"{i}.png" for i in range(6)], "label": [0.0, 1.0, None, 1.0, 0.0, 2.0]})
    parquet.write_table(rows, tmp_path / "x.parquet")
    source = read_source(DataConfig(data=str(tmp_path / "x.parquet")), labels=True)
    assert (source.classes, source.labels.tolist()) == (("0", "1", "2"), codes)


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


def test_folder_layouts(tmp_path: Path) -> None:
    for name in ("train/a/1.png", "train/b/x/2.png", "valid/a/3.png", "Test/b/4.png", "unlabeled/5.png", "6.png"):
        draw(tmp_path / name)
    source = read_folder(tmp_path, labels=True)
    found = dict(zip(source.names, zip(source.splits.tolist(), source.labels.tolist(), strict=True), strict=True))
    assert found == {
        "train/a/1.png": ("train", 0),
        "train/b/x/2.png": ("train", 1),
        "valid/a/3.png": ("val", 0),
        "Test/b/4.png": ("test", 1),
        "unlabeled/5.png": ("unlabeled", -1),
        "6.png": ("unlabeled", -1),
    }


def test_class_folders_may_have_names_of_splits_where_none_is_for_training(tmp_path: Path) -> None:
    for name in ("test/1.png", "cat/2.png"):
        draw(tmp_path / name)
    source = read_folder(tmp_path, labels=True)
    assert source.classes == ("cat", "test")
    assert set(source.splits) == {""}


def test_folders_linked_in_a_circle_are_read_once(tmp_path: Path) -> None:
    draw(tmp_path / "a" / "1.png")
    os.symlink(tmp_path, tmp_path / "a" / "again")
    assert [str(path) for path in list_images(tmp_path).images] == ["a/1.png"]


def test_natural_order() -> None:
    assert sorted(["10", "9", "b1", "a12", "a2", "1"], key=natural_key) == ["1", "9", "10", "a2", "a12", "b1"]


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs the Debian package dataset-fashion-mnist")
def test_fashion_mnist_is_the_official_data() -> None:
    """As the Debian package has it: 7,000 images per class, the last 10,000 of them the test set."""
    source = fashion_mnist()
    assert np.bincount(source.labels).tolist() == [7000] * 10
    assert (source.splits == "test").sum() == 10000
    assert source.images.values.shape == (70000, 1, 28, 28)  # type: ignore[union-attr]
    assert source.names[59999:60001] == ("train[59999]", "test[0]")


def test_fashion_mnist_offline_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision.datasets.mnist as module

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(module, "download_and_extract_archive", refuse)
    with pytest.raises(UserError, match="install the Debian package dataset-fashion-mnist"):
        fashion_mnist(tmp_path / "nowhere", tmp_path / "cache")


def test_a_cut_idx_file_is_refused(tmp_path: Path) -> None:
    whole = b"\0\0\x08\x01" + (10).to_bytes(4, "big") + bytes(10)
    (tmp_path / "x.gz").write_bytes(gzip.compress(whole))
    assert read_idx(tmp_path / "x.gz").tolist() == [0] * 10
    for content in (gzip.compress(whole[:-1]), gzip.compress(whole)[:-9], gzip.compress(b"")):
        (tmp_path / "x.gz").write_bytes(content)
        with pytest.raises(UserError, match=r"x\.gz"):
            read_idx(tmp_path / "x.gz")


def test_a_name_that_is_nothing_is_refused() -> None:
    with pytest.raises(UserError, match=r"no built-in .*fashion-mnist"):
        read_source(DataConfig(data="fashionmnist"), labels=True)


def test_a_relative_path_that_is_not_there_says_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a run that was moved: its data are stored as they were named."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=rf"; looked for in {tmp_path}, `data` names another place$"):
        read_source(DataConfig(data="plain"), labels=True)
    with pytest.raises(UserError, match=r"fashion-mnist\)$"):
        read_source(DataConfig(data=str(tmp_path / "plain")), labels=True)


def test_options_of_what_has_none_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((3, 8, 8), np.uint8))
    for name in ("digits", str(tmp_path), str(tmp_path / "x.npy")):
        with pytest.raises(UserError, match=f"^options: {name} has none, only the built-in multiview does; found a$"):
            read_source(DataConfig(data=name, options={"a": 1}), labels=False)

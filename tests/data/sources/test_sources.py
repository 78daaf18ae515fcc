"""Manifests, arrays, folders and built-ins: labels, splits and groups arrive as they were given."""

import gzip
import os
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from PIL import Image

from unmask.config import DataConfig
from unmask.data.file_names import natural_key
from unmask.data.sources.fashion_mnist import DEBIAN, fashion_mnist, read_idx
from unmask.data.sources.folder import read_folder
from unmask.data.sources.listing import list_images
from unmask.data.sources.read import read_source
from unmask.data.sources.torch_dataset import read_given
from unmask.errors import UserError

RNG = np.random.default_rng(0)


def draw(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (8, 8), dtype=np.uint8)).save(path)


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


def test_labels_are_the_same_classes_however_they_are_stored(tmp_path: Path) -> None:
    """Whole floats as integers, bytes as text; NaN, as tables have it for a missing integer, is unlabeled."""
    codes = [0, 1, -1, 1, 0, 2]
    for labels, classes in (
        (np.asarray(codes), ("0", "1", "2")),
        (np.asarray([0, 1, np.nan, 1, 0, 2]), ("0", "1", "2")),
        (np.asarray([[0], [1], [-1], [1], [0], [2]], np.float32), ("0", "1", "2")),
        (np.asarray(["0", "1.0", "nan", "1", "0.0", "2"]), ("0", "1", "2")),
        (np.asarray([b"a", b"b", b"", b"b", b"a", b"c"]), ("a", "b", "c")),
    ):
        np.savez(tmp_path / "x.npz", images=np.zeros((6, 8, 8), np.uint8), labels=labels)
        source = read_source(DataConfig(data=str(tmp_path / "x.npz")), labels=True)
        assert (source.classes, source.labels.tolist()) == (classes, codes)
    for name, label in zip("abcdef", ("x", "y", "NaN", "y", "x", "z"), strict=True):
        draw(tmp_path / "classes" / label / f"{name}.png")
    source = read_source(DataConfig(data=str(tmp_path / "classes")), labels=True)
    assert source.classes == ("x", "y", "z")
    assert "1 image in no class folder, or in NaN for no label, is seen by pretraining only" in source.notes
    rows = arrow.table({"path": [f"{i}.png" for i in range(6)], "label": [0.0, 1.0, None, 1.0, 0.0, 2.0]})
    parquet.write_table(rows, tmp_path / "x.parquet")
    source = read_source(DataConfig(data=str(tmp_path / "x.parquet")), labels=True)
    assert (source.classes, source.labels.tolist()) == (("0", "1", "2"), codes)


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
    with pytest.raises(UserError, match=r"a built-in .*fashion-mnist"):
        read_source(DataConfig(data="fashionmnist"), labels=True)


def test_a_relative_path_that_is_not_there_says_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a run that was moved: its data are stored as they were named."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=rf"; looked for in {tmp_path}; `data` can name another place$"):
        read_source(DataConfig(data="plain"), labels=True)
    with pytest.raises(UserError, match=r"fashion-mnist\)$"):
        read_source(DataConfig(data=str(tmp_path / "plain")), labels=True)


def test_options_of_what_has_none_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((3, 8, 8), np.uint8))
    for name in ("digits", str(tmp_path), str(tmp_path / "x.npy")):
        with pytest.raises(UserError, match=f"^options: {name} has none, only the built-in multiview does; found a$"):
            read_source(DataConfig(data=name, options={"a": 1}), labels=False)

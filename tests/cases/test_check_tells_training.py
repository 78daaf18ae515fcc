"""What `data check` says of a data set is what training then does with it."""

import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tifffile
from PIL import Image
from pyarrow import parquet

from tiny import draw, numbered
from unmask.config import DataConfig
from unmask.data.check.report import Report, check_data
from unmask.data.load import Dataset, load_data
from unmask.errors import UserError

Made = tuple[str, dict[str, Any]]
"""What `data` names, and the other fields of its configuration."""


def classes(at: Path) -> Made:
    """Splits are drawn."""
    return str(draw(at, *numbered("cat", "dog", count=20))), {}


def split_folders(at: Path) -> Made:
    """train and test are given, val is drawn; unlabeled beside them."""
    names = [f"train/{name}" for name in numbered("cat", "dog")] + [f"test/{name}" for name in numbered("cat", "dog")]
    return str(draw(at, *names, "unlabeled/1.png", "unlabeled/2.png")), {}


def splits_in_classes(at: Path) -> Made:
    """cat/train/0.png."""
    parts = ("train", "val", "test")
    return str(draw(at, *(f"{name}/{part}/{i}.png" for name in ("cat", "dog") for part in parts for i in range(4)))), {}


def loose_images(at: Path) -> Made:
    """Beside class folders: for pretraining only."""
    return str(draw(at, *numbered("cat", "dog", count=9), "1.png", "2.png")), {}


def unlabeled(at: Path) -> Made:
    """No class at all."""
    return str(draw(at, *(f"{i}.png" for i in range(9)))), {}


def junk(at: Path) -> Made:
    """Files of other kinds, hidden ones, an empty class."""
    draw(at, *numbered("cat", "dog", count=9))
    (at / "bird").mkdir()
    for name in ("cat/.DS_Store", "cat/notes.txt", "dog/._0.png"):
        (at / name).write_bytes(b"x")
    return str(at), {}


def cut_files(at: Path) -> Made:
    """Some cannot be read: they stop training."""
    draw(at, *numbered("cat", "dog", count=9))
    for name in ("cat/0.png", "dog/3.png"):
        (at / name).write_bytes((at / name).read_bytes()[:90])
    return str(at), {}


def cut_files_skipped(at: Path) -> Made:
    """Or are left out."""
    return cut_files(at)[0], {"on_bad_file": "skip"}


def nothing_readable(at: Path) -> Made:
    """Not one image is left."""
    draw(at, *numbered("cat", "dog"))
    for path in at.rglob("*.png"):
        path.write_bytes(b"")
    return str(at), {"on_bad_file": "skip"}


def copies_across_splits(at: Path) -> Made:
    """Of test images in training, of validation images in test."""
    draw(at, *(f"{part}/{name}" for part in ("train", "val", "test") for name in numbered("cat", "dog")))
    shutil.copy(at / "test/cat/0.png", at / "train/cat/copy.png")
    shutil.copy(at / "test/dog/0.png", at / "val/dog/copy.png")
    return str(at), {}


def a_class_of_copies(at: Path) -> Made:
    """All its training images are copies of test images: an error."""
    draw(at, *(f"{part}/{name}" for part in ("train", "test") for name in numbered("cat", "dog")))
    shutil.rmtree(at / "train/dog")
    shutil.copytree(at / "test/dog", at / "train/dog")
    return str(at), {}


def transductive(at: Path) -> Made:
    """Pretraining sees all."""
    return split_folders(at)[0], {"transductive": True}


def groups(at: Path) -> Made:
    """A manifest with groups, a column that is not read, and an image without a label."""
    names = numbered("cat", "dog", count=20)
    draw(at, *names)
    rows = [f"{name},{name[:3]},{i // 4},{i % 5}" for i, name in enumerate(names)]
    rows[7] = f"{names[7]},,99,0"
    (at / "data.csv").write_text("\n".join(["path,label,group,fold", *rows]), encoding="utf-8")
    return str(at / "data.csv"), {}


def parquet_manifest(at: Path) -> Made:
    """Given splits, labels of numbers."""
    names = numbered("cat", "dog", count=10)
    draw(at, *names)
    columns = {"path": names, "label": [i // 10 for i in range(20)], "split": (["train"] * 6 + ["test"] * 4) * 2}
    parquet.write_table(pa.table(columns), at / "data.parquet")
    return str(at / "data.parquet"), {}


def arrays(at: Path) -> Made:
    """Labels of -1, one image that is infinite."""
    at.mkdir()
    images = np.random.default_rng(0).random((40, 8, 8)).astype(np.float32)
    images[5, 0, 0] = np.inf
    np.savez(at / "x.npz", images=images, labels=np.arange(40) % 3 - 1)
    return str(at / "x.npz"), {"on_bad_file": "skip"}


def missing_pixels(at: Path) -> Made:
    """NaN in some images: they stay."""
    at.mkdir()
    images = np.random.default_rng(0).random((30, 8, 8)).astype(np.float32)
    images[::3, :2] = np.nan
    np.savez(at / "x.npz", images=images, labels=np.arange(30) % 2)
    return str(at / "x.npz"), {}


def shards(at: Path) -> Made:
    """A tar of images and labels, one of which is cut."""
    draw(at, *numbered("cat", "dog", count=9))
    with tarfile.open(at / "x.tar", "w") as tar:
        for i, name in enumerate(numbered("cat", "dog", count=9)):
            (at / "cls").write_text(name[:3])
            tar.add(at / "cls", f"{i:03}.cls")
            tar.add(at / name, f"{i:03}.png")
    return str(at / "x.tar"), {}


def links(at: Path) -> Made:
    """To a class folder, and to nothing."""
    draw(at, *numbered("cat", "dog", count=9))
    os.symlink("cat", at / "kitten")
    os.symlink("gone.png", at / "dog" / "99.png")
    return str(at), {"on_bad_file": "skip"}


def unlike_forms(at: Path) -> Made:
    """Gray, palette, transparent, 16 bits, another size: one form in the end."""
    draw(at, *numbered("cat", "dog", count=9))
    for name, mode in (("cat/0.png", "L"), ("cat/1.png", "P"), ("dog/0.png", "RGBA"), ("dog/1.png", "LA")):
        Image.open(at / name).convert("RGB").convert(mode).resize((30, 20)).save(at / name)
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 900).save(at / "dog" / "2.png")
    return str(at), {}


def unlike_bands(at: Path) -> Made:
    """Of three and of five bands: no common form."""
    draw(at, *numbered("cat", "dog", count=9))
    tifffile.imwrite(at / "dog" / "five.tif", np.zeros((8, 8, 5), np.uint8), photometric="minisblack")
    return str(at), {}


def unlike_units(at: Path) -> Made:
    """Unsigned integers beside signed ones of the same values."""
    draw(at, *numbered("cat", "dog", count=9))
    tifffile.imwrite(at / "dog" / "signed.tif", np.full((8, 8), 200, np.int16))
    return str(at), {}


def floats_to_one(at: Path) -> Made:
    """Beside integers, which mean the same."""
    draw(at, *numbered("cat", "dog", count=9))
    tifffile.imwrite(at / "dog" / "float.tif", np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8))
    return str(at), {}


def pages(at: Path) -> Made:
    """Of which the first is read."""
    draw(at, *numbered("cat", "dog", count=9))
    for i in range(9):
        values = np.random.default_rng(i).integers(0, 256, (3, 8, 8), dtype=np.uint8)
        tifffile.imwrite(at / "dog" / f"{i}.tif", values, photometric="minisblack")
    return str(at), {}


def two_forms_of_a_name(at: Path) -> Made:
    """Composed and decomposed: one class."""
    return str(draw(at, *numbered("caf\u00e9", "cafe\u0301", "dog", count=9))), {}


CASES: list[Callable[[Path], Made]] = [
    classes,
    split_folders,
    splits_in_classes,
    loose_images,
    unlabeled,
    junk,
    cut_files,
    cut_files_skipped,
    nothing_readable,
    copies_across_splits,
    a_class_of_copies,
    transductive,
    groups,
    parquet_manifest,
    arrays,
    missing_pixels,
    shards,
    links,
    unlike_forms,
    unlike_bands,
    unlike_units,
    floats_to_one,
    pages,
    two_forms_of_a_name,
]


@pytest.mark.case("data check said that data were fit, or counted them, as training then did not find them")
@pytest.mark.parametrize("cached", [True, False], ids=["cached", "streamed"])
@pytest.mark.parametrize("make", CASES)
def test_check_tells_what_training_does(make: Callable[[Path], Made], cached: bool, tmp_path: Path) -> None:
    """Images, classes, splits, what is left out, the largest budget; an error where training has one."""
    data, fields = make(tmp_path / "x")
    config = DataConfig(data=data, **fields)
    report = check_data(config, progress=False)
    how = DataConfig(data=data, **fields, cache_mib=4096 if cached else 0)
    if report.errors:
        with pytest.raises(UserError):
            load_data(how, labels=bool(report.classes), progress=False)
        return
    _compare(report, load_data(how, labels=bool(report.classes), progress=False), config)


def _compare(report: Report, found: Dataset, config: DataConfig) -> None:
    labeled = {"train": found.train, "val": found.val, "test": found.tests.get("test")}
    assert report.unreadable == found.bad_files
    assert tuple(report.classes) == found.classes
    counts = report.splits
    assert report.images == sum(counts.values())
    assert len(found.readable) == report.images - counts.get("unreadable", 0)
    if not config.transductive:
        assert len(found.pretrain) == counts.get("train", 0) + counts.get("unlabeled", 0)
    if report.classes:
        for split, images in labeled.items():
            told = [of_split.get(split, 0) for of_split in report.classes.values()]
            there = [] if images is None else np.bincount(images.labels, minlength=len(told)).tolist()
            assert told == (there or [0] * len(told)), split
        assert report.largest_budget == min(found.class_sizes)
    if report.groups:
        assert found.train is not None
        members = found.groups_of(found.train)
        assert members is not None
        assert report.groups["train"] == len(set(members.tolist()))
    told = " | ".join(report.warnings)
    others = ("exact duplicate", "transductive", "all images are", "kept from pretraining")  # said in other words
    for note in found.notes:
        assert any(words in note for words in others) or _words(note) in told
    assert len(report.channels) in (1, 3, found.format.channels)


def _words(note: str) -> str:
    """A note as both say it: a check counts the missing pixels of all images, not of those of pretraining."""
    return "missing pixels" if "have missing pixels" in note else note

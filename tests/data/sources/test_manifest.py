"""Manifests: labels, splits and groups arrive as they were given."""

import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from PIL import Image

import tiny
from unmask.config import DataConfig
from unmask.data.load import load_data
from unmask.data.sources.manifest import read_manifest
from unmask.errors import UserError

RNG = np.random.default_rng(0)
MANIFEST = (
    "path,label,group,split\na.png,2,p1,train\nb.png,10,p2,valid\nc.png,2,p3,test\nd.png,,p4,\ne.png,10,p1,train\n"
)


def draw(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (8, 8), dtype=np.uint8)).save(path)


def table(folder: Path, text: str) -> Path:
    for line in text.splitlines()[1:]:
        draw(folder / line.split(",")[0])
    (folder / "manifest.csv").write_text(text)
    return folder / "manifest.csv"


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


@pytest.mark.case("a manifest written on Windows, or with accents in their other form, found no file")
def test_paths_are_found_with_backslashes_and_accents_of_either_form(tmp_path: Path) -> None:
    """The file's own name is the image's; a file whose name has a backslash is itself."""
    composed, apart = (unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD"))
    for name in ("a/0.png", f"a/{composed}", "b\\0.png", "b/0.png"):
        draw(tmp_path / name)
    (tmp_path / "m.csv").write_text(f"path,label\na\\0.png,x\na\\{apart},x\nb\\0.png,y\nb/0.png,y\n")
    source = read_manifest(tmp_path / "m.csv", labels=True)
    assert [source.images.stored(row).name for row in range(4)] == ["0.png", composed, "b\\0.png", "0.png"]
    assert all(source.images.stored(row).exists() for row in range(4))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.png,1\n", "no column path; found file, label"),
        ("path\na.png\nb.png\n", "found no column label"),
        ("path,label\na.png,1\nb.png,1\n", r"two or more classes are needed, found the labels \['1'\]"),
        ("path,label,split\na.png,1,train\nb.png,2,tset\n", "split 'tset' of image 2"),
        ("path,label,group,split\na.png,1,p,train\nb.png,2,p,test\n", "group p is in test and train"),
        ("path,label\na.png,1\nb.png,2\na.png,1\n", "a.png is listed twice"),
        ("path,label\nx/a.png,1\nb.png,2\n./x//a.png,2\n", "x/a.png is listed twice"),
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
    assert data.train is not None
    members = data.groups_of(data.train)
    assert members is not None
    homes = [set((images.ids // 3).tolist()) for images in (data.pretrain, data.val, data.tests["test"])]
    assert all(homes)
    assert sum(map(len, homes)) == len(set.union(*homes)) == 20
    assert len(members) == len(data.train)


@pytest.mark.case("of two columns of labels with one name the last one was read")
@pytest.mark.parametrize(("header", "asked"), [("label_age,Label_Age", None), ("species,species", "species")])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_two_columns_of_labels_with_one_name(header: str, asked: str | None, suffix: str, tmp_path: Path) -> None:
    """Other columns may share a name: nobody reads them."""
    tiny.draw(tmp_path, "a.png", "b.png")
    first, second = header.split(",")
    names, rows = ["path", first, second], [["a.png", "1.5", "9"], ["b.png", "2.5", "9"]]
    file = tmp_path / f"m.{suffix}"
    if suffix == "csv":
        file.write_text("\n".join(",".join(row) for row in [names, *rows]) + "\n")
    else:
        columns = [arrow.array(list(column)) for column in zip(*rows, strict=True)]
        parquet.write_table(arrow.Table.from_arrays(columns, names=names), file)
    with pytest.raises(UserError, match=f"2 columns are called {first}: keep one"):
        read_manifest(file, labels=True, label_field=asked)
    if suffix == "csv":
        file.write_text("path,label,note,note\na.png,x,1,2\nb.png,y,1,2\n")
        assert read_manifest(file, labels=True).classes == ("x", "y")

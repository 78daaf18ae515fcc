"""Layouts, names and junk: which files are images, which folders classes, and in which order."""

import os
import shutil
import tarfile
from io import BytesIO
from pathlib import Path

import pytest
import torch

from tiny import draw, image_names, load, numbered, picture
from unmask.config import DataConfig
from unmask.data.check.report import check_data
from unmask.data.sources.listing import list_images
from unmask.data.sources.manifest import read_manifest
from unmask.errors import UserError


@pytest.mark.case(".DS_Store, Thumbs.db and checkpoint folders were read as images or classes")
def test_junk_is_neither_an_image_nor_a_class(tmp_path: Path) -> None:
    """Ignored without a note."""
    draw(tmp_path, *numbered("a", "b"), ".ipynb_checkpoints/x.png", "__MACOSX/a/0.png", "a/.ipynb_checkpoints/0.png")
    for junk in (".DS_Store", "a/._0.png", "a/Thumbs.db", "b/desktop.ini", "a/.DS_Store"):
        (tmp_path / junk).write_bytes(b"junk")
    data = load(tmp_path)
    assert data.classes == ("a", "b")
    assert len(image_names(data)) == 12
    assert data.notes == ()


@pytest.mark.case("an empty class folder failed or shifted the labels")
def test_an_empty_class_folder_shifts_no_label(tmp_path: Path) -> None:
    """Classes are those of training, and a note names the empty folder."""
    draw(tmp_path, *numbered("train/a", "train/b", "train/c", "val/a", "val/c"))
    (tmp_path / "val" / "b").mkdir()
    data = load(tmp_path)
    assert data.classes == ("a", "b", "c")
    assert data.val is not None
    assert [int(label) for label in data.val.labels] == [0] * 6 + [2] * 6
    assert any("val/b is empty" in note for note in data.notes)


@pytest.mark.case("an empty class folder failed or shifted the labels")
def test_a_class_empty_everywhere_is_left_out(tmp_path: Path) -> None:
    """With a note."""
    draw(tmp_path, *numbered("a", "c"))
    (tmp_path / "b").mkdir()
    data = load(tmp_path)
    assert data.classes == ("a", "c")
    assert any("class folder b is empty" in note for note in data.notes)


@pytest.mark.case("the order of classes differed between tools")
def test_classes_are_in_natural_order(tmp_path: Path) -> None:
    """1, 2, 10; labels follow the names."""
    data = load(draw(tmp_path, *numbered("10", "2", "1")))
    assert data.classes == ("1", "2", "10")
    assert data.train is not None
    for name, label in zip(data.train.names, data.train.labels.tolist(), strict=True):
        assert name.startswith(data.classes[label] + "/")


@pytest.mark.case("upper-case suffixes were skipped, or counted twice")
def test_suffixes_in_any_case_count_once(tmp_path: Path) -> None:
    """JPG, Jpeg and PNG are images."""
    draw(tmp_path, "a.jpg", "b.JPG", "c.Jpeg", "d.PNG")
    assert load(tmp_path, labels=False).pretrain.names == ("a.jpg", "b.JPG", "c.Jpeg", "d.PNG")


@pytest.mark.case("paths that are not ASCII could not be read")
def test_any_name_is_read_and_can_be_printed(tmp_path: Path) -> None:
    """Also bytes that are not UTF-8, in names and in error messages."""
    draw(tmp_path, *numbered("猫", "é"), "猫/é (1).png")
    odd = os.fsencode(tmp_path / "é") + b"/\xff\xfe.png"
    with open(odd, "wb") as file:
        picture().save(file, format="PNG")
    data = load(tmp_path)
    assert data.classes == ("é", "猫")
    names = image_names(data)
    assert len(names) == 14
    "\n".join([*names, *data.classes]).encode("utf-8")
    with open(odd, "wb") as file:
        file.write(b"broken")
    with pytest.raises(UserError) as error:
        load(tmp_path)
    str(error.value).encode("utf-8")


@pytest.mark.case("paths that are not ASCII could not be read")
def test_a_class_whose_name_is_not_utf_8_is_a_class(tmp_path: Path) -> None:
    """Its name is shown escaped; the data folder itself must be UTF-8, as its path is written into JSON."""
    draw(tmp_path, *numbered("a"))
    odd = os.fsencode(tmp_path) + b"/\xff"
    os.mkdir(odd)
    for i in range(6):
        with open(odd + f"/{i}.png".encode(), "wb") as file:
            picture(seed=i).save(file, format="PNG")
    data = load(tmp_path)
    assert data.classes == ("\\xff", "a")
    assert len(image_names(data)) == 12
    with pytest.raises(UserError, match="expected a UTF-8 path; rename it, or link"):
        load(Path(os.fsdecode(odd)))


@pytest.mark.case("paths that are not ASCII could not be read")
def test_a_manifest_is_utf_8_but_for_paths_of_files_that_are_not(tmp_path: Path) -> None:
    """In another encoding labels would look alike, and fail where they are written."""
    draw(tmp_path, *numbered("a"))
    with open(os.fsencode(tmp_path) + b"/\xff.png", "wb") as file:
        picture().save(file, format="PNG")
    lines = [b"path,label,group,more", b"a/0.png,a,,", b"a/1.png,b,,\xe4", b"\xff.png,b,,"]
    for bad in (b"a/2.png,\xe4,,", b"a/2.png,b,\xe4,", b"\xe4.png,b,,"):
        (tmp_path / "list.csv").write_bytes(b"\n".join([*lines, bad]))
        with pytest.raises(UserError, match=r"list\.csv: row 5: \\xe4.* is not UTF-8: save the table as UTF-8"):
            read_manifest(tmp_path / "list.csv", labels=True)
    (tmp_path / "list.csv").write_bytes(b"\n".join(lines))
    source = read_manifest(tmp_path / "list.csv", labels=True)
    assert (source.classes, source.names[2]) == (("a", "b"), "\\xff.png")


@pytest.mark.case("paths that are not ASCII could not be read")
def test_labels_of_shards_in_another_encoding_stay_apart(tmp_path: Path) -> None:
    """Two bytes of Latin-1 are two classes."""
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for i in range(12):
            picture(seed=i).save(encoded := BytesIO(), format="PNG")
            for name, content in (("png", encoded.getvalue()), ("cls", (b"\xe4", b"\xf6")[i % 2])):
                info = tarfile.TarInfo(f"{i}.{name}")
                info.size = len(content)
                tar.addfile(info, BytesIO(content))
    assert load(tmp_path / "x.tar").classes == ("\\xe4", "\\xf6")


@pytest.mark.case("a flat or nested layout was read as 0 files")
def test_flat_and_nested_folders_do_for_pretraining(tmp_path: Path) -> None:
    """Every image below the folder, without classes."""
    draw(tmp_path / "flat", "1.png", "2.png")
    draw(tmp_path / "nested", "a/x/1.png", "a/y/z/2.png")
    assert load(tmp_path / "flat", labels=False).pretrain.names == ("1.png", "2.png")
    nested = load(tmp_path / "nested", labels=False)
    assert nested.pretrain.names == ("a/x/1.png", "a/y/z/2.png")
    assert nested.classes == ()


@pytest.mark.case("a flat or nested layout was read as 0 files")
def test_where_labels_are_needed_the_error_says_what_was_expected_and_found(tmp_path: Path) -> None:
    """A folder per class, against what is there."""
    draw(tmp_path, "1.png", "2.png")
    with pytest.raises(UserError, match=r"one folder per class, two or more.*found no class folder and 2 images"):
        load(tmp_path)
    draw(tmp_path, "a/x/1.png")
    with pytest.raises(UserError, match="found one class folder, a, and 3 images"):
        load(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no image")
    with pytest.raises(UserError, match=r"empty: no image below this folder \(found 1 .txt\)"):
        load(tmp_path / "empty", labels=False)


@pytest.mark.case("a cache was written into a read-only data folder")
def test_nothing_is_written_into_the_data_folder(tmp_path: Path) -> None:
    """Neither by training nor by the check, with and without a cache."""
    draw(tmp_path, *numbered("a", "b"))

    def state() -> list[tuple[str, int, int]]:
        paths = [tmp_path, *sorted(tmp_path.rglob("*"))]
        return [(str(p), p.stat().st_mtime_ns, p.stat().st_size) for p in paths]

    before = state()
    folders = [tmp_path, tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.chmod(0o555)
    try:
        for cache_mib in (4096, 0):
            load(tmp_path, cache_mib=cache_mib, workers=0).pretrain.raw([0])
        check_data(DataConfig(data=str(tmp_path)), progress=False)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert state() == before


@pytest.mark.case("the order of files varied from machine to machine")
def test_the_order_of_creation_changes_neither_list_nor_batch(tmp_path: Path) -> None:
    """The same list, fingerprint and first batch."""
    names = numbered("a", "b", "c")
    draw(tmp_path / "one", *names)
    for name in reversed(names):
        (tmp_path / "two" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / "one" / name, tmp_path / "two" / name)
    one, two = load(tmp_path / "one"), load(tmp_path / "two")
    assert list_images(tmp_path / "one") == list_images(tmp_path / "two")
    assert one.pretrain.names == two.pretrain.names
    assert one.fingerprint == two.fingerprint
    first = [next(d.pretrain.batches(torch.arange(4), 4)).images for d in (one, two)]
    assert torch.equal(*first)

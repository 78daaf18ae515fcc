"""Images that names, links or odd files hide: nothing is trained on, left out or waited for without a word."""

import json
import os
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, features

from tiny import draw, load, numbered, picture
from unmask.config import DataConfig
from unmask.data.check.report import check_data
from unmask.data.decoding.decode import decode, named
from unmask.data.sources.read import read_source
from unmask.data.sources.torch_dataset import read_given
from unmask.errors import UserError


def both(path: Path, line: str, *, labels: bool = True) -> None:
    """Training and the check end in the same line."""
    with pytest.raises(UserError, match=line):
        load(path, labels=labels)
    with pytest.raises(UserError, match=line):
        check_data(DataConfig(data=str(path)), progress=False)


@pytest.mark.case("train/ + eval/: all of eval was pretrained on, and a new test drawn")
@pytest.mark.parametrize("name", ["eval", "test_set", "Testset", "hold-out", "validation2"])
def test_a_held_out_folder_under_another_name_is_an_error(tmp_path: Path, name: str) -> None:
    draw(tmp_path, *numbered("train/a", "train/b", f"{name}/a", f"{name}/b"))
    both(tmp_path, "beside the split folders looks held out", labels=False)
    both(tmp_path, "beside the split folders looks held out")
    with pytest.raises(UserError, match="looks held out"):
        read_given({"train": [picture()] * 3, name: [picture()] * 3}, "x", labels=False)


@pytest.mark.case("training_set/ + test_set/ were two classes, and the test images trained on")
@pytest.mark.parametrize(
    "folders",
    [
        "training_set test_set",
        "train2017 val2017",
        "trainval test",
        "a.TrainingSet b.Testing_Set",
        "trainset devset unlabeled",
        "train_set val test",
        "seg_train seg_test seg_pred",
        "archive/train_set archive/test_set",
        "pool/one/train pool/one/test pool/two/x",
    ],
)
def test_splits_under_other_names_are_no_classes(tmp_path: Path, folders: str) -> None:
    """Whether or not class folders lie below them; what lies in `unlabeled` may be seen."""
    for kind, inner in (("flat", ("",)), ("classes", ("/cat", "/dog"))):
        root = tmp_path / kind
        draw(root, *numbered(*(folder + name for folder in folders.split() for name in inner), count=2))
        both(root, "look like training and held-out images, but are not read as splits", labels=kind == "classes")
    draw(tmp_path / "all", *numbered(*(f"unlabeled/{folder}" for folder in folders.split()), count=2))
    assert load(tmp_path / "all", labels=False).notes == ()


def test_the_fix_for_splits_under_other_names_is_one(tmp_path: Path) -> None:
    """Renamed, or given themselves, the folders are splits."""
    draw(tmp_path / "x", *numbered("more/a", "more/deep/training_data", "more/deep/test"))
    both(tmp_path / "x", f"in more/deep .*: give {tmp_path}/x/more/deep as the data", labels=False)
    both(tmp_path / "x/more/deep", "training_data and test .*: rename them to train and test;", labels=False)
    (tmp_path / "x/more/deep/training_data").rename(tmp_path / "x/more/deep/train")
    assert set(read_source(DataConfig(data=str(tmp_path / "x/more/deep")), labels=False).splits) == {"train", "test"}
    draw(tmp_path / "y", *numbered("a/train1", "a/test1", "b/train1", "b/test1"))
    both(tmp_path / "y", "train1 and test1 look like .*: rename them to train and test;")


@pytest.mark.parametrize(
    "classes", ["test_tube train_station bus", "eval cat", "trains testudo_graeca crows", "train test_tube bus"]
)
def test_classes_called_like_splits_are_classes(tmp_path: Path, classes: str) -> None:
    """With a note for those that could be held out."""
    draw(tmp_path, *numbered(*classes.split()))
    data = load(tmp_path)
    assert sorted(data.classes) == sorted(classes.split())
    (held,) = (name for name in classes.split() if name.startswith(("test", "eval")))
    assert f"the folder {held} is read as a class, like those beside it, not as a split" in data.notes


def test_masks_in_held_out_folders_under_another_name_are_an_error(tmp_path: Path) -> None:
    def files(*splits: str) -> list[str]:
        return [f"{kind}/{split}/{at}.png" for kind in ("images", "masks") for split in splits for at in range(3)]

    for number, splits in enumerate((("train2017", "val2017"), ("train", "val", "test_set"))):
        draw(tmp_path / str(number), *files(*splits))
        with pytest.raises(UserError, match=f"{splits[-1]} beside {splits[0]} looks held out"):
            read_source(DataConfig(data=str(tmp_path / str(number))), labels=True)
    draw(tmp_path / "good", *files("train/train_site", "train/test_site", "val", "test"))
    source = read_source(DataConfig(data=str(tmp_path / "good")), labels=True)
    assert sorted(set(source.splits)) == ["test", "train", "val"]


def test_a_table_of_images_in_split_folders_says_that_splits_are_drawn(tmp_path: Path) -> None:
    names = draw(tmp_path, *numbered("train/a", "train/b", "test/a", "test/b"))
    rows = [f"{path.relative_to(tmp_path)},{path.parent.name}" for path in sorted(names.rglob("*.png"))]
    (tmp_path / "x.csv").write_text("\n".join(["path,label", *rows]))
    assert "images in the folders train and test have no split in the manifest's column split: it is drawn" in (
        load(tmp_path / "x.csv").notes
    )
    (tmp_path / "y.csv").write_text("\n".join(["path,label,split", *(f"{row},{row.split('/')[0]}" for row in rows)]))
    assert load(tmp_path / "y.csv").notes == ()


@pytest.mark.case("flat val/ beside class folders: scratch trained to the end with metrics {}")
@pytest.mark.parametrize("split", ["val", "test"])
def test_a_split_without_class_folders_cannot_be_scored(tmp_path: Path, split: str) -> None:
    """And to pretraining it is held out, with a note that is true."""
    draw(tmp_path, *numbered("train/a", "train/b", split))
    with pytest.raises(UserError, match=f"6 images in {split} in no class folder, unlike those of training"):
        load(tmp_path)
    data = load(tmp_path, labels=False)
    assert "6 images of val and test in no class folder are not used" in data.notes
    assert not [name for name in data.pretrain.names if name.startswith(split)]


@pytest.mark.case("class/train/*: the given splits were ignored")
def test_split_folders_within_class_folders_are_splits(tmp_path: Path) -> None:
    draw(tmp_path, *numbered("a/train", "b/train", "a/test", "b/test", "a/val", "b/val", count=3))
    source = read_source(DataConfig(data=str(tmp_path)), labels=True)
    assert source.classes == ("a", "b")
    for name, split, label in zip(source.names, source.splits.tolist(), source.labels.tolist(), strict=True):
        assert name.split("/")[:2] == ["ab"[label], split]
    draw(tmp_path, *numbered("c"))
    both(tmp_path, "some class folders hold folders called train, val or test, and others do not")


@pytest.mark.case("a class folder called train (beside bus and car) took the others' labels")
def test_a_class_called_train_is_a_class(tmp_path: Path) -> None:
    draw(tmp_path, *numbered("train", "bus", "car"))
    data = load(tmp_path)
    assert data.classes == ("bus", "car", "train")
    assert "the folder train is read as a class, like those beside it, not as a split" in data.notes


@pytest.mark.case("alias -> cls took the class's name and emptied the real one")
def test_links_within_a_folder_are_left_aside_and_told(tmp_path: Path) -> None:
    """The real folder keeps its name, whatever sorts first; a link that leads out of the folder is followed."""
    draw(tmp_path / "data", *numbered("cls", "other"))
    draw(tmp_path / "elsewhere", *numbered("."))
    (tmp_path / "data" / "alias").symlink_to("cls")
    (tmp_path / "data" / "loop").symlink_to("..")
    (tmp_path / "data" / "third").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "twin").symlink_to(tmp_path / "elsewhere")
    data = load(tmp_path / "data")
    assert data.classes == ("cls", "other", "third")
    assert len(data.readable) == 18
    assert [note.split()[0] for note in data.notes if "skipped" in note] == ["alias", "loop", "twin"]


@pytest.mark.case("a named pipe hung data check for ever")
def test_a_named_pipe_is_left_aside_or_unreadable(tmp_path: Path) -> None:
    draw(tmp_path, *numbered("a", "b"))
    os.mkfifo(tmp_path / "a" / "pipe.png")
    (tmp_path / "a" / "gone.png").symlink_to("nowhere")
    with pytest.raises(UserError, match=r"gone\.png: No such file"):
        load(tmp_path)
    data = load(tmp_path, on_bad_file="skip", cache_mib=0, workers=0)
    assert "a/pipe.png is named like an image but is not a file: skipped" in data.notes
    rows = ["path,label", *(f"{name},{name[0]}" for name in numbered("a", "b")), "a/pipe.png,a"]
    (tmp_path / "x.csv").write_text("\n".join(rows))
    with pytest.raises(UserError, match=r"pipe\.png: is not a file"):
        load(tmp_path / "x.csv")
    assert len(load(tmp_path / "x.csv", on_bad_file="skip", cache_mib=0, workers=0).bad_files) == 1


@pytest.mark.case("a class folder that could not be listed was empty: trained on 5 of 6 classes")
def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(tmp_path, *numbered("a", "b", "c"))
    scan = os.scandir

    def refusing(path: Any) -> Any:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    both(tmp_path, r"/b: cannot be listed \(Permission denied\): what it holds would be missing")


@pytest.mark.case("--out within the data folder made the run's pictures a class")
def test_a_run_folder_within_the_data_is_no_class(tmp_path: Path) -> None:
    draw(tmp_path, *numbered("a", "b", "run/pictures"))
    (tmp_path / "run" / "config.json").write_text(json.dumps({"format": 4, "kind": "pretrain"}))
    data = load(tmp_path)
    assert data.classes == ("a", "b")
    assert "run is the folder of a run: skipped" in data.notes


@pytest.mark.case("a class written composed and decomposed was two classes")
def test_composed_and_decomposed_letters_are_one_name(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    draw(tmp_path / "data", *numbered(f"train/{composed}", "train/b", f"test/{apart}", "test/b"))
    assert load(tmp_path / "data").classes == ("b", composed)
    draw(tmp_path, f"{apart}.png", "sub/1.png", "2.png", "3.png")
    (tmp_path / "x.csv").write_text(f"path,label\n{composed}.png,{composed}\nsub\\1.png,b\n2.png,{apart}\n3.png,b\n")
    source = read_source(DataConfig(data=str(tmp_path / "x.csv")), labels=True)
    assert (source.classes, source.labels.tolist()) == (("b", composed), [1, 0, 1, 0])
    assert [source.images.stored(row) for row in range(2)] == [tmp_path / f"{apart}.png", tmp_path / "sub/1.png"]


@pytest.mark.case("a PNG with bytes after its end was called truncated")
@pytest.mark.parametrize("extra", [1, 5000, 100_000])
def test_harmless_bytes_after_the_end_are_harmless(tmp_path: Path, extra: int) -> None:
    for suffix in ("png", "jpg", "gif", "bmp", "webp", "tif"):
        path = tmp_path / f"x.{suffix}"
        picture().save(path)
        before = decode(path)
        path.write_bytes(path.read_bytes() + bytes(range(1, 251)) * (1 + extra // 250))
        np.testing.assert_array_equal(decode(path), before)


@pytest.mark.case(".jfif, .jpe, .avif and .jp2 were files with other suffixes")
@pytest.mark.parametrize("suffix", ["jfif", "JPE", "avif", "jp2"])
def test_images_of_other_suffixes_are_read(tmp_path: Path, suffix: str) -> None:
    decoder = {"avif": "avif", "jp2": "jpg_2000"}.get(suffix)
    if decoder is not None and not features.check(decoder):
        pytest.skip(f"Pillow without {decoder}")
    kind = {"avif": "AVIF", "jp2": "JPEG2000"}.get(suffix, "JPEG")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index in range(4):
            picture(seed=index).save(tmp_path / name / f"{index}.{suffix}", kind)
    assert len(load(tmp_path).readable) == 8


@pytest.mark.case("X_mask.png beside X.png was a training image")
def test_masks_beside_images_are_asked_about(tmp_path: Path) -> None:
    draw(tmp_path, *numbered("a", "b"), "a/1_mask.png", "b/2_mask.jpg", "b/lonely_mask.png")
    (note,) = load(tmp_path).notes
    assert note.startswith("2 images are named like masks of others (e.g. a/1_mask.png)")


@pytest.mark.case("a MemoryError counted as an unreadable file")
@pytest.mark.parametrize("error", [MemoryError(), OSError(24, "Too many open files")])
def test_want_of_memory_or_files_is_no_fault_of_an_image(error: Exception) -> None:
    with pytest.raises(type(error)), named("x.png"):
        raise error
    with pytest.raises(UserError, match=r"^x\.png: No such file"), named("x.png"):
        raise FileNotFoundError(2, "No such file or directory")


@pytest.mark.case("cache_mib changed the training set: twins saved again stayed in where images were streamed")
def test_twins_are_the_same_cached_and_streamed(tmp_path: Path) -> None:
    """Also the fingerprint, with a file that cannot be decoded left out."""
    draw(tmp_path, *numbered("train/a", "train/b", "test/a", "test/b"))
    for index in range(3):
        with Image.open(tmp_path / f"test/a/{index}.png") as image:
            image.save(tmp_path / f"train/a/again{index}.bmp")
    whole = (tmp_path / "train/a/0.png").read_bytes()
    (tmp_path / "train/a/cut.png").write_bytes(whole[: len(whole) // 2])
    cached, streamed = (load(tmp_path, on_bad_file="skip", workers=0, cache_mib=mib) for mib in (4096, 0))
    assert cached.fingerprint == streamed.fingerprint
    assert cached.bad_files == streamed.bad_files
    assert tuple(cached.pretrain.names) == tuple(streamed.pretrain.names)
    assert not any("again" in name for name in streamed.pretrain.names)


@pytest.mark.case("of a streamed file the fingerprint knew length and end alone")
def test_a_fingerprint_changes_with_the_middle_of_a_file(tmp_path: Path) -> None:
    draw(tmp_path, *(f"{index}.bmp" for index in range(6)), size=(64, 64))
    before = load(tmp_path, labels=False, cache_mib=0, workers=0).fingerprint
    content = bytearray((tmp_path / "0.bmp").read_bytes())
    content[2000:2003] = b"\xff\x00\xff"
    (tmp_path / "0.bmp").write_bytes(content)
    assert load(tmp_path, labels=False, cache_mib=0, workers=0).fingerprint != before


@pytest.mark.case("half of the data deleted during a streamed run: exit 0, nothing listed")
def test_files_that_vanish_are_told_and_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw(tmp_path, *(f"{index}.png" for index in range(10)))
    data = load(tmp_path, labels=False, cache_mib=0, workers=0, on_bad_file="skip")
    for index in range(0, 10, 2):
        (tmp_path / f"{index}.png").unlink()
    for _ in range(2):
        assert sum(len(batch.ids) for batch in data.readable.batches(torch.arange(10), 5)) == 5
    assert len(data.bad_files) == 5
    assert capsys.readouterr().err.count("left out while running") == 5


@pytest.mark.case("the fast decoder refused 162 of 600 JPEG files that Pillow reads")
def test_what_the_fast_jpeg_decoder_refuses_pillow_judges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        @staticmethod
        def decode_jpeg(content: bytes, kind: str) -> None:
            raise ValueError("extraneous bytes before marker")

    picture().save(tmp_path / "x.jpg")
    wanted = decode(tmp_path / "x.jpg")
    monkeypatch.setattr("unmask.data.decoding.jpeg.simplejpeg", lambda: Refusing)
    np.testing.assert_array_equal(decode(tmp_path / "x.jpg"), wanted)
    (tmp_path / "x.jpg").write_bytes((tmp_path / "x.jpg").read_bytes()[:300])
    with pytest.raises(UserError, match=r"(?i)truncated"):
        decode(tmp_path / "x.jpg")

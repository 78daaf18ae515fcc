"""The check says beforehand what training would say, and the exit code agrees with it."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.csv as csv
import pyarrow.parquet as parquet
import pytest
import tifffile
from PIL import Image

from tiny import draw, numbered
from unmask.cli.data import CheckData
from unmask.config import DataConfig
from unmask.data import headers
from unmask.data.check import image_facts
from unmask.data.check.duplicates import saved_again
from unmask.data.check.report import as_text, check_data
from unmask.data.load import load_data
from unmask.errors import UserError

RNG = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in "ab":
        (tmp_path / name).mkdir()
        for i in range(10):
            pixels = RNG.integers(0, 256, (20, 24 + i % 2, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    return tmp_path


def test_a_good_folder_is_described(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = check_data(DataConfig(data=str(folder)), progress=False)
    assert (report.images, report.errors, report.unreadable) == (20, (), ())
    assert report.warnings == (
        "the validation set has 2 labeled images: an accuracy on it is known to ± 69 points",
        "the test set has 4 labeled images: an accuracy on it is known to ± 49 points",
    )
    assert report.largest_budget == 7
    assert report.sizes == {"20x24": 10, "20x25": 10}
    assert report.forms == {"3 channels, 8-bit": 20}
    assert {name: sum(counts.values()) for name, counts in report.classes.items()} == {"a": 10, "b": 10}
    pixels = np.concatenate([np.asarray(Image.open(path)).reshape(-1, 3) for path in folder.rglob("*.png")]) / 255
    assert [c["mean"] for c in report.channels] == pytest.approx(pixels.mean(0).tolist(), rel=1e-9)
    assert [c["std"] for c in report.channels] == pytest.approx(pixels.std(0).tolist(), rel=1e-9)
    assert CheckData(config=DataConfig(data=str(folder)), quiet=True).run() == 0
    assert capsys.readouterr().out.rstrip().endswith("fit for training")


def test_an_unreadable_file_fails_under_error_and_passes_under_skip(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a" / "3.png").write_bytes(b"broken")
    config = DataConfig(data=str(folder))
    assert CheckData(config=config, json=True, quiet=True).run() == 1
    report = json.loads(capsys.readouterr().out)
    assert len(report["unreadable"]) == 1
    assert "a/3.png" in report["unreadable"][0]
    assert CheckData(config=DataConfig(data=str(folder), on_bad_file="skip"), quiet=True).run() == 0


def test_forms_that_cannot_meet_fail(folder: Path) -> None:
    np.save(folder / "a" / "five.npy", RNG.integers(0, 256, (5, 20, 24), dtype=np.uint8))
    report = check_data(DataConfig(data=str(folder)), progress=False)
    assert any("images with 3 and with 5 channels have no common form" in error for error in report.errors)


def test_unlabeled_images_are_fit_for_pretraining_only(folder: Path) -> None:
    report = check_data(DataConfig(data=str(folder / "a")), progress=False)
    assert report.errors == ()
    assert report.classes == {}
    assert any("for pretraining only" in warning for warning in report.warnings)


def test_nothing_to_check_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no image below"):
        check_data(DataConfig(data=str(tmp_path)), progress=False)


@pytest.mark.parametrize("chunk", [7, 2048])
def test_pairs_are_those_of_a_double_loop(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unmask.data.check.duplicates.CHUNK", chunk)
    base = RNG.random((30, 256)).astype(np.float32)
    thumbnails = np.concatenate([base, base[:10] + RNG.normal(0, 0.004, (10, 256)).astype(np.float32), base[:5] * 0.5])
    thumbnails = np.concatenate([thumbnails, np.full((2, 256), 0.3, np.float32), np.full((1, 256), np.nan, np.float32)])
    splits = np.asarray(["train", "test"])[np.arange(len(thumbnails)) // 7 % 2]
    expected = []
    for i in range(len(thumbnails)):
        for j in range(i + 1, len(thumbnails)):
            a, b = thumbnails[i], thumbnails[j]
            if splits[i] == splits[j] or not (a.std() > 0.02 and b.std() > 0.02):
                continue
            if np.corrcoef(a, b)[0, 1] >= 0.998 and np.sqrt(np.square(a - b).mean()) <= 0.02:
                expected.append((i, j))
    assert expected
    assert saved_again(thumbnails, splits) == expected


def test_the_command_is_known_without_torch() -> None:
    code = "import sys, unmask.cli.data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_arrays_are_checked_for_what_training_refuses(tmp_path: Path) -> None:
    images = RNG.random((20, 8, 8)).astype(np.float32)
    images[4, 2, 2] = np.inf
    np.savez(tmp_path / "x.npz", images=images, labels=np.arange(20) % 2)
    report = check_data(DataConfig(data=str(tmp_path / "x.npz")), progress=False)
    assert report.unreadable == ("x[4]: the image holds values that are not finite",)
    assert report.errors == (f'{report.unreadable[0]}; `on_bad_file="skip"` leaves such files out',)
    np.savez(tmp_path / "x.npz", images=np.zeros((20, 8, 8), np.int64), labels=np.arange(20) % 2)
    with pytest.raises(UserError, match=r"x\.npz: images: pixels of type int64 are not supported"):
        check_data(DataConfig(data=str(tmp_path / "x.npz")), progress=False)


def test_counts_are_those_of_training_and_copies_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A class of copies of one image has no training image, and nowhere is it said to have any."""
    images = RNG.integers(0, 256, (30, 8, 8), dtype=np.uint8)
    images[:10] = 0
    np.savez(tmp_path / "x.npz", images=images, labels=np.repeat(["black", "x", "y"], 10))
    config = DataConfig(data=str(tmp_path / "x.npz"))
    report = check_data(config, progress=False)
    assert list(report.splits.items()) == [("train", 14), ("val", 2), ("test", 6), ("copy", 8)]
    assert report.classes["black"] == {"test": 2, "copy": 8}
    line = "class black has validation or test images, but no training image (of 7, 7 are copies of these)"
    assert report.errors == (line,)
    with pytest.raises(UserError) as error:
        load_data(config, labels=True, progress=False)
    assert str(error.value) == f"{config.data}: {line}"
    assert CheckData(config=config, quiet=True).run() == 1
    said = capsys.readouterr().out
    assert "splits: train 14, val 2, test 6, copy 8\n" in said
    assert "training keeps each only in the split nearest to the test" in said
    named_sets = load_data(config, labels=False, progress=False)
    assert len(named_sets.train or ()) == report.splits["train"]


@pytest.mark.case("the same pixels under two labels were no word worth")
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_same_pixels_under_two_labels_are_named(tmp_path: Path, split: str) -> None:
    """Within a split and across."""
    draw(tmp_path, *numbered("train/a", "train/b", "test/a", "test/b"))
    shutil.copy(tmp_path / "train/a/1.png", tmp_path / split / "b" / "again.png")
    warnings = check_data(DataConfig(data=str(tmp_path)), progress=False).warnings
    (line,) = [warning for warning in warnings if "different labels" in warning]
    assert line.startswith("1 picture of the same pixels have different labels, of which all but one are wrong: ")
    assert {"train/a/1.png (a)", f"{split}/b/again.png (b)"} == set(line.partition("wrong: ")[2].split(" = "))


@pytest.mark.case("12 bits in 16 were an almost black image")
@pytest.mark.parametrize("cache_mib", [4096, 0])
def test_unused_bits_are_told_with_the_window_to_use(tmp_path: Path, cache_mib: int) -> None:
    images = RNG.integers(0, 4096, (20, 8, 8)).astype(np.uint16)
    np.savez(tmp_path / "x.npz", images=images, labels=np.arange(20) % 2)
    config = DataConfig(data=str(tmp_path / "x.npz"), cache_mib=cache_mib, workers=0)
    line = " of 65535 (12 bits in 16): `window=(0, 100)`"
    assert any(line in warning for warning in check_data(config, progress=False).warnings)
    assert any(line in note for note in load_data(config, labels=True, progress=False).notes)
    data = load_data(replace(config, window=(0, 100)), labels=True, progress=False)
    assert not any("bits in 16" in note for note in data.notes)
    assert data.readable.raw(range(20)).max() > 0.99


@pytest.mark.case("a column fold was ignored without a word")
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_columns_that_are_not_read_are_named_and_groups_counted(tmp_path: Path, suffix: str) -> None:
    names = numbered("a", "b")
    draw(tmp_path, *names)
    columns = {"path": names, "label": [name[0] for name in names], "group": [name[2] for name in names]}
    rows = arrow.table(columns | {"fold": ["1"] * len(names)})
    parquet.write_table(rows, tmp_path / "x.parquet") if suffix == "parquet" else csv.write_csv(
        rows, tmp_path / "x.csv"
    )
    config = DataConfig(data=str(tmp_path / f"x.{suffix}"))
    report = check_data(config, progress=False)
    assert "the manifest's 1 further column (fold) are not read" in report.warnings
    assert "the manifest's 1 further column (fold) are not read" in load_data(config, labels=True, progress=False).notes
    assert sum(report.groups.values()) == 6
    assert "groups: train" in as_text(report)


@pytest.mark.case("a TIFF that is refused was counted as transparent, and headers were read twice")
def test_only_readable_images_are_counted_in_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(tmp_path, *numbered("a", "b"))
    bands = RNG.integers(1, 255, (20, 20, 4), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a" / "x.tif", bands, photometric="rgb", extrasamples=["unassalpha"])
    opened: list[Path] = []
    whole = image_facts.header_of
    monkeypatch.setattr(image_facts, "header_of", lambda file, reading: opened.append(file) or whole(file, reading))
    monkeypatch.setattr(headers, "scan", None)
    report = check_data(DataConfig(data=str(tmp_path), on_bad_file="skip"), progress=False)
    assert len(report.unreadable) == 1
    assert not any("transparent" in warning for warning in report.warnings)
    assert len(opened) == len(set(opened)) == 13


@pytest.mark.case("the check said nothing of values that training warns of")
def test_missing_and_odd_values_are_told_as_training_tells_them(tmp_path: Path) -> None:
    images = RNG.normal(3, 1, (20, 16, 16)).astype(np.float32)
    images[:4, :2], images[4:, :2] = np.nan, -9999
    np.savez(tmp_path / "x.npz", images=images, labels=np.arange(20) % 2)
    warnings = check_data(DataConfig(data=str(tmp_path / "x.npz")), progress=False).warnings
    assert any(warning.startswith("4 of 20 images have missing pixels") for warning in warnings)
    assert any("% of the values are -9999, far from all others" in warning for warning in warnings)

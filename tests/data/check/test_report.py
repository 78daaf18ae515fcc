"""The check says beforehand what training would say, and the exit code agrees with it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unmask.cli.data import CheckData
from unmask.config import DataConfig
from unmask.data.check.duplicates import saved_again
from unmask.data.check.report import check_data
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
    assert (report.images, report.errors, report.warnings, report.unreadable) == (20, (), (), ())
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
    assert "training keeps each in the split nearest to the test only" in said
    named_sets = load_data(config, labels=False, progress=False)
    assert len(named_sets.train or ()) == report.splits["train"]

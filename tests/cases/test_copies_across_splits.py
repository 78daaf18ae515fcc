"""Images that stand in two splits, and splits that stay what they are."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tiny import draw, image_names, load, numbered
from unmask.config import DataConfig
from unmask.data.check.report import check_data
from unmask.data.load import load_data


@pytest.mark.case("training images stood in the test set, too")
@pytest.mark.parametrize("cache_mib", [4096, 0])
def test_a_copy_across_splits_is_found_named_and_left_out_of_training(tmp_path: Path, cache_mib: int) -> None:
    """Both paths are told; the copy leaves training, the test set stays whole."""
    draw(tmp_path, *numbered("train/a", "train/b", "val/a", "val/b", "test/a", "test/b"))
    shutil.copy(tmp_path / "test/a/3.png", tmp_path / "train/b/copy.png")
    (tmp_path / "unlabeled").mkdir()
    shutil.copy(tmp_path / "val/b/2.png", tmp_path / "unlabeled/x.png")
    shutil.copy(tmp_path / "test/b/2.png", tmp_path / "val/b/y.png")
    data = load(tmp_path, cache_mib=cache_mib)
    assert data.val is not None
    assert "unlabeled/x.png" not in data.pretrain.names
    assert "val/b/y.png" not in data.val.names
    note = next(note for note in data.notes if "duplicate" in note)
    assert "3 exact duplicates across splits" in note
    assert "train/b/copy.png (train) = test/a/3.png (test)" in note
    assert "train/b/copy.png" not in data.pretrain.names
    assert "train/b/copy.png" not in (data.train or data.pretrain).names
    assert "test/a/3.png" in data.tests["test"].names
    report = check_data(DataConfig(data=str(tmp_path)), progress=False)
    assert {"train/b/copy.png", "test/a/3.png"} in map(set, report.exact_duplicates)
    assert len(report.exact_duplicates) == 3


@pytest.mark.case("training images stood in the test set, too")
def test_the_check_also_finds_a_copy_that_was_saved_again(tmp_path: Path) -> None:
    """Resized and as a JPEG."""
    draw(tmp_path, *numbered("train/a", "train/b", "val/a", "val/b", "test/a", "test/b"))
    with Image.open(tmp_path / "test/a/3.png") as image:
        image.resize((40, 40), Image.Resampling.BICUBIC).save(tmp_path / "train/b/again.jpg", quality=80)
    report = check_data(DataConfig(data=str(tmp_path)), progress=False)
    assert [set(pair) for pair in report.saved_again] == [{"train/b/again.jpg", "test/a/3.png"}]
    assert report.exact_duplicates == ()


def test_streaming_and_caching_agree_on_every_split(tmp_path: Path) -> None:
    """The same images in the same split, held in memory or not."""
    draw(tmp_path, *numbered("a", "b"))
    config = DataConfig(data=str(tmp_path), workers=0)
    cached = load_data(config, labels=True, progress=False)
    streamed = load_data(replace(config, cache_mib=0), labels=True, progress=False)
    assert image_names(cached) == image_names(streamed)
    assert cached.pretrain.names == streamed.pretrain.names

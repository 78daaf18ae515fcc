"""What `data check` says of masks: pixels of every class by split, what has no class, classes that a split lacks."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

import tiny
from unmask.config import DataConfig
from unmask.data.check.report import as_text, check_data
from unmask.data.load import load_data

COUNTS = {"train": 6, "val": 3, "test": 4}


def masks_of(folder: Path, split: str) -> np.ndarray:
    return np.stack([np.asarray(Image.open(file)) for file in sorted((folder / split / "masks").glob("*.png"))])


def test_pixels_are_counted_by_class_and_split(tmp_path: Path) -> None:
    folder = tiny.mask_folder(tmp_path / "data", COUNTS)
    (folder / "train/masks/0.png").unlink()
    report = check_data(DataConfig(data=str(folder)), progress=False)
    assert report.masks is not None
    assert report.errors == ()
    assert (report.masks.images, report.masks.without) == (COUNTS | {"train": 5}, {"train": 1, "val": 0, "test": 0})
    for split in COUNTS:
        masks = masks_of(folder, split)
        expected = [int((masks == value).sum()) for value in (0, 1, 2, 255)]
        assert [report.masks.pixels[name][split] for name in ("background", "bright", "dark")] == expected[:3]
        assert report.masks.no_class[split] == expected[3] == len(masks)
    assert asdict(report)["masks"]["no_class"] == {"train": 5, "val": 3, "test": 4}
    text = as_text(report)
    bright = report.masks.pixels["bright"]["train"]
    assert "images with a mask: train 5 of 6, val 3 of 3, test 4 of 4" in text
    assert f"pixels of bright: train {bright} ({100 * bright / (5 * 256):.2g} %)" in text
    assert "pixels without a class (255): train 5 (0.39 %)" in text
    assert "warning: 1 image without a mask is seen by pretraining only" in text
    assert "the validation set has 3 masks: an mIoU on so few is uncertain" in text
    assert "accuracy" not in text


def test_rare_classes_and_large_unlabeled_areas_are_warned_of(tmp_path: Path) -> None:
    folder = tiny.mask_folder(tmp_path / "data", COUNTS)
    for file in (folder / "val/masks").glob("*.png"):
        mask = np.array(Image.open(file))
        mask[mask == 2] = 0
        mask[8:] = 255
        Image.fromarray(mask).save(file)
    report = check_data(DataConfig(data=str(folder)), progress=False)
    assert "val: fewer than 3 images show bright (2), dark (0)" in " ".join(report.warnings)
    assert "% of the masks' pixels have no class (255) and are ignored" in " ".join(report.warnings)
    assert not any(one.startswith("train: fewer") for one in report.warnings)


def test_other_data_have_no_masks(tmp_path: Path) -> None:
    tiny.draw(tmp_path, *tiny.numbered("a", "b"))
    report = check_data(DataConfig(data=str(tmp_path)), progress=False)
    assert report.masks is None
    assert "images with a mask" not in as_text(report)


def test_the_splits_reported_are_those_of_a_training_at_any_size(tmp_path: Path) -> None:
    """A class of one pixel, which a smaller mask lacks, counts in the draw all the same."""
    folder = tiny.mask_folder(tmp_path / "data", {"": 30})
    for index in range(0, 30, 3):
        file = folder / f"masks/{index}.png"
        mask = np.array(Image.open(file))
        mask[2, 2] = 3
        Image.fromarray(mask).save(file)
    (folder / "classes.csv").write_text("name\nbackground\nbright\ndark\ndot\n")
    report = check_data(DataConfig(data=str(folder)), progress=False)
    found = []
    for size in ((16, 16), (8, 8)):
        data = load_data(DataConfig(data=str(folder), image_size=size), labels=True, progress=False)
        sets = {"train": data.train, "val": data.val, **data.tests}
        found.append({name: list(images.names) for name, images in sets.items() if images})
    assert found[0] == found[1]
    dots = {name: sum(int(Path(one).stem) % 3 == 0 for one in names) for name, names in found[0].items()}
    assert dots == report.classes["dot"]

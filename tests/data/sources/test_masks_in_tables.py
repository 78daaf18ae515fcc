"""Masks in a manifest, in arrays, in folders that may be something else: the task is read, or asked for."""

from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
import tifffile
from PIL import Image

import tiny
from unmask.config import DataConfig
from unmask.data.check.report import check_data
from unmask.data.load import Dataset, load_data
from unmask.errors import UserError
from unmask.tasks.segmentation import Segmentation

COUNT = 12
CLASSES = ("background", "bright", "dark")
COLORS = np.array([[0, 0, 0], [255, 0, 0], [7, 8, 9]], np.uint8)
Arrays = dict[str, np.ndarray]


def arrays() -> Arrays:
    """Images and masks, uint8 (12, 16, 16); 255 in the corner of each mask."""
    rng = np.random.default_rng(0)
    images, masks = rng.integers(90, 160, (COUNT, 16, 16), dtype=np.uint8), np.zeros((COUNT, 16, 16), np.uint8)
    for index in range(COUNT):
        for label, level in ((1, 220), (2, 30)):
            top, left = rng.integers(0, 11, 2)
            square = index, slice(top, top + 5), slice(left, left + 5)
            images[square], masks[square] = level, label
    masks[:, 0, 0] = 255
    return {"images": images, "masks": masks}


def save_mask(file: Path, mask: np.ndarray) -> None:
    """As the name says: .npy, .tif, color.png, palette.png, or gray."""
    if file.suffix == ".npy":
        np.save(file, mask.astype(np.int64))
    elif file.suffix == ".tif":
        tifffile.imwrite(file, mask.astype(np.uint16))
    elif "color" in file.name:
        Image.fromarray(COLORS[np.where(mask == 255, 0, mask)]).save(file)
    else:
        image = Image.fromarray(mask)
        if "palette" in file.name:
            image.putpalette([channel for index in range(256) for channel in (index * 37 % 256, index, 9)])
        image.save(file)


def manifest(
    folder: Path, kind: str = "mask.png", header: str = "path,mask,group", extra: str = "", last: str = ""
) -> Path:
    """A table of all pairs but the last, whose mask is `last`."""
    found, lines = arrays(), [header]
    for index in range(COUNT):
        Image.fromarray(found["images"][index]).save(folder / f"{index}.png")
        save_mask(folder / f"{index}{kind}", found["masks"][index])
        mask = f"{index}{kind}" if index < COUNT - 1 else last
        lines.append(f"{index}.png,{mask},{index // 2}{extra}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    return folder / "table.csv"


def npz(folder: Path, **changes: np.ndarray) -> Path:
    np.savez(folder / "data.npz", **(arrays() | {"classes": np.array(CLASSES)} | changes))
    return folder / "data.npz"


def all_masks(data: Dataset) -> dict[str, np.ndarray]:
    """Masks of all labeled images by name."""
    sets = [data.train, data.val, *data.tests.values()]
    return {
        name: mask
        for images in sets
        if images is not None
        for name, mask in zip(images.names, images.labels.numpy(), strict=True)
    }


@pytest.mark.parametrize("kind", ["mask.png", "palette.png", "color.png", ".tif", ".npy"])
def test_a_manifest_names_masks_of_every_kind(tmp_path: Path, kind: str) -> None:
    colors = "".join(f"{name},#{r:02x}{g:02x}{b:02x}\n" for name, (r, g, b) in zip(CLASSES, COLORS, strict=True))
    named = "name,color\n" + colors if "color" in kind else "name\nbackground\nbright\ndark\n"
    (tmp_path / "classes.csv").write_text(named)
    data = tiny.load(manifest(tmp_path, kind))
    assert data.task == Segmentation(classes=CLASSES)
    assert "1 image without a mask is seen by pretraining only" in data.notes
    found, expected = all_masks(data), arrays()["masks"]
    expected[:, 0, 0] = 0 if "color" in kind else 255
    assert sorted(found) == sorted(f"{index}.png" for index in range(COUNT - 1))
    for name, mask in found.items():
        np.testing.assert_array_equal(mask, expected[int(Path(name).stem)])
    assert f"{COUNT - 1}.png" in data.readable.names


def test_groups_of_a_manifest_stay_together(tmp_path: Path) -> None:
    data = tiny.load(manifest(tmp_path))
    homes = [
        {int(Path(name).stem) // 2 for name in images.names} for images in (data.train, data.val, data.tests["test"])
    ]  # type: ignore[union-attr]
    assert not homes[0] & homes[1]
    assert not (homes[0] | homes[1]) & homes[2]


def test_parquet_and_another_column_are_read_alike(tmp_path: Path) -> None:
    csv = manifest(tmp_path)
    rows = [line.split(",") for line in csv.read_text().splitlines()[1:]]
    columns = {"path": [row[0] for row in rows], "outline": [row[1] or None for row in rows]}
    parquet.write_table(arrow.table(columns), tmp_path / "table.parquet")
    other = tiny.load(tmp_path / "table.parquet", task="segmentation", label_field="outline")
    same = all_masks(tiny.load(csv))
    found = all_masks(other)
    assert sorted(found) == sorted(same)
    assert all(np.array_equal(found[name], same[name]) for name in same)


def test_arrays_hold_masks_whole_or_by_split(tmp_path: Path) -> None:
    found = arrays()
    found["masks"][0] = 255
    whole = tiny.load(npz(tmp_path, masks=found["masks"]))
    assert whole.task == Segmentation(classes=CLASSES)
    assert "1 image without a mask is seen by pretraining only" in whole.notes
    for name, mask in all_masks(whole).items():
        np.testing.assert_array_equal(mask, found["masks"][int(name[5:-1])])
    parts = {
        f"{split}_{what}": values[rows]
        for split, rows in (("train", slice(6)), ("val", slice(6, 9)), ("test", slice(9, 12)))
        for what, values in found.items()
    }
    np.savez(tmp_path / "parts.npz", **parts | {"train_masks": parts["train_masks"].astype(np.int64)[:, None]})
    data = tiny.load(tmp_path / "parts.npz")
    assert (len(data.train), len(data.val), len(data.tests["test"])) == (5, 3, 3)  # type: ignore[arg-type]
    np.testing.assert_array_equal(data.tests["test"].labels.numpy(), found["masks"][9:])


@pytest.mark.case("an object stored as 255 in an array was ignored everywhere if the classes had names")
def test_arrays_of_0_and_255_are_asked_about(tmp_path: Path) -> None:
    masks = np.where(arrays()["masks"] == 1, 255, 0).astype(np.uint8)
    path = npz(tmp_path, masks=masks, classes=np.array(["background", "cell"]))
    with pytest.raises(UserError, match=r"hold only 0 and 255.* or store 1"):
        tiny.load(path)
    few = load_data(DataConfig(data=str(path)), labels=False, progress=False, limit=3)
    assert (len(few.readable), few.task) == (3, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masks": np.zeros((COUNT, 16, 8), np.uint8)}, "masks: shape (12, 16, 8), but 12 images are 16x16"),
        ({"masks": np.zeros((COUNT - 1, 16, 16), np.uint8)}, "masks: shape (11, 16, 16), but 12 images are 16x16"),
        ({"masks": np.full((COUNT, 16, 16), 0.5)}, "masks: found float64: a mask holds whole numbers"),
        (
            {"masks": np.full((COUNT, 16, 16), 3)},
            "mask of data[0]: holds class 3, and there are 3: 0 (background) to 2",
        ),
        ({"classes": np.array(["a", "a"])}, "data.npz: classes: class a is named twice"),
        ({"labels": np.arange(COUNT) % 2}, "holds masks and labels: say with `task` which to learn"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_one_line(tmp_path: Path, changes: Arrays, message: str) -> None:
    file = npz(tmp_path, **changes)
    with pytest.raises(UserError) as error:
        tiny.load(file)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_task_that_is_told_settles_what_may_be_two_things(tmp_path: Path) -> None:
    file = npz(tmp_path, labels=np.arange(COUNT) % 2)
    assert tiny.load(file, task="segmentation").task == Segmentation(classes=CLASSES)
    assert tiny.load(file, task="classification").classes == ("0", "1")
    table = manifest(tmp_path, header="path,mask,label")
    with pytest.raises(UserError, match="has the columns mask and label: say with `task` which to learn"):
        tiny.load(table)
    assert isinstance(tiny.load(table, task="segmentation").task, Segmentation)
    assert len(tiny.load(table, task="classification").classes) == COUNT // 2
    assert len(tiny.load(table, label_field="label").classes) == COUNT // 2


@pytest.mark.parametrize("name", ["labels", "annotations"])
def test_folders_of_another_name_are_asked_for(tmp_path: Path, name: str) -> None:
    (tiny.mask_folder(tmp_path / "data") / "train/masks").rename(tmp_path / "data/train" / name)
    for split in ("val", "test"):
        (tmp_path / "data" / split / "masks").rename(tmp_path / "data" / split / name)
    with pytest.raises(UserError, match=f"images/ and {name}/ may be images with masks or two classes: say which"):
        tiny.load(tmp_path / "data")
    data = tiny.load(tmp_path / "data", task="segmentation")
    assert data.task == Segmentation(classes=CLASSES)
    assert set(tiny.load(tmp_path / "data", task="classification").classes) == {"images", name}


def test_folders_called_images_and_masks_are_classes_where_that_is_told(tmp_path: Path) -> None:
    folder = tiny.mask_folder(tmp_path / "data")
    assert tiny.load(folder, task="classification").classes == ("images", "masks")


def test_segmentation_without_masks_is_refused_in_one_line(tmp_path: Path) -> None:
    tiny.draw(tmp_path / "folder", *tiny.numbered("a", "b"))
    tiny.draw(tmp_path, *tiny.numbered("c", "d"))
    (tmp_path / "labels.csv").write_text("path,label\nc/0.png,c\nd/0.png,d\n")
    np.savez(tmp_path / "labels.npz", images=arrays()["images"], labels=np.arange(COUNT) % 2)
    for name in ("folder", "labels.csv", "labels.npz"):
        with pytest.raises(UserError, match="has no masks: folders hold them in masks/ beside images/") as error:
            tiny.load(tmp_path / name, task="segmentation")
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="'segmentation': digits has no masks"):
        tiny.load(Path("digits"), task="segmentation")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("beyond", "holds class 3, and there are 3: 0 (background) to 2 (dark)"),
        ("size", "0.png is 16x16 (height x width), its mask 8x8: they must agree"),
        ("missing", "0mask.png"),
    ],
)
def test_masks_of_a_manifest_that_do_not_fit_stop_before_training(tmp_path: Path, change: str, message: str) -> None:
    (tmp_path / "classes.csv").write_text("name\nbackground\nbright\ndark\n")
    file = manifest(tmp_path)
    values = np.full((8, 8) if change == "size" else (16, 16), 3 if change == "beyond" else 0, np.uint8)
    Image.fromarray(values).save(tmp_path / "0mask.png")
    if change == "missing":
        (tmp_path / "0mask.png").unlink()
    with pytest.raises(UserError) as error:
        tiny.load(file)
    assert message.split(" (dark)")[0] in str(error.value)
    assert "\n" not in str(error.value)
    report = check_data(DataConfig(data=str(file)), progress=False)
    assert len(report.errors) == 1
    assert len(tiny.load(file, on_bad_file="skip").bad_files) == 1

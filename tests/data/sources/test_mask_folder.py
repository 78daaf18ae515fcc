"""Folders of images and masks: which belong together, in which split, and what is refused."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unmask.data.mask_table import nearest, read_masks, with_masks
from unmask.data.sources.listing import list_images
from unmask.data.sources.mask_classes import find_classes
from unmask.data.sources.mask_folder import find_masks, read_mask_folder
from unmask.data.sources.source import Source
from unmask.errors import UserError


def save(file: Path, values: np.ndarray | None = None, *, size: tuple[int, int] = (4, 6)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros(size, np.uint8) if values is None else values).save(file)


def source_of(root: Path, files: Sequence[str]) -> Source:
    for name in files:
        save(root / name)
    listing = list_images(root)
    assert find_masks(root, listing) == "masks"
    return read_mask_folder(root, listing)


def pairs(source: Source) -> dict[str, tuple[str, str | None]]:
    """Image → its split and mask."""
    assert source.masks is not None
    files = source.masks.files
    return {
        name: (str(source.splits[i]), Path(str(files.stored(row))).name if row >= 0 else None)  # type: ignore[arg-type]
        for i, (name, row) in enumerate(zip(source.names, source.masks.of.tolist(), strict=True))
    }


def test_images_and_masks_of_one_stem_belong_together(tmp_path: Path) -> None:
    found = source_of(tmp_path, ["images/a.png", "images/sub/b.tif", "images/c.png", "masks/a.png", "masks/sub/b.png"])
    assert pairs(found) == {
        "images/a.png": ("", "a.png"),
        "images/c.png": ("", None),
        "images/sub/b.tif": ("", "b.png"),
    }
    assert found.notes == ("1 image without a mask is seen by pretraining only",)


@pytest.mark.parametrize("order", ["{0}/{1}/{2}", "{1}/{0}/{2}"])
def test_splits_lie_above_or_below(tmp_path: Path, order: str) -> None:
    files = [
        order.format(split, kind, f"{split}.png") for split in ("train", "val", "test") for kind in ("images", "masks")
    ]
    found = source_of(tmp_path, [*files, "unlabeled/x.png"])
    assert {(split, mask) for split, mask in pairs(found).values()} == {
        ("train", "train.png"),
        ("val", "val.png"),
        ("test", "test.png"),
        ("unlabeled", None),
    }


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["images/a.png", "masks/a.png", "masks/b.png"], "masks/b.png is a mask without its image: none called b"),
        (["images/a.png", "images/a.tif", "masks/a.png"], "images images/a.png and images/a.tif have the same stem"),
        (["images/a.png", "masks/a.png", "masks/a.tif"], "masks masks/a.png and masks/a.tif have the same stem"),
        (["images/a.png", "masks/a.png", "more/c.png"], "1 image in neither images/ nor masks/, e.g. more/c.png"),
    ],
)
def test_what_does_not_belong_together_is_refused(tmp_path: Path, files: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        source_of(tmp_path, files)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_two_class_folders_called_otherwise_are_none(tmp_path: Path) -> None:
    for name in ("images/a.png", "cats/b.png"):
        save(tmp_path / name)
    assert find_masks(tmp_path, list_images(tmp_path)) is None


def test_a_file_beside_names_the_classes(tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_text("name,color\nbackground,#000000\ncat,255 0 0\n")
    code = find_classes(tmp_path)
    assert code.names == ("background", "cat")
    assert code.colors == {(0, 0, 0): 0, (255, 0, 0): 1}
    (tmp_path / "classes.csv").unlink()
    (tmp_path / "classes.json").write_text('["background", {"name": "dog"}]')
    assert find_classes(tmp_path).names == ("background", "dog")
    (tmp_path / "classes.json").write_text('[{"name": "sky", "value": 10}, {"name": "sea", "value": 0}]')
    assert find_classes(tmp_path).values == {10: 0, 0: 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name\n", "names no class"),
        ("title\nx\n", "no column name; found title"),
        ("name\na\na\n", "class a is named twice"),
        ("name,value\na,1\nb,\n", "class b has no value, others have"),
        ("name,value\na,1\nb,1\n", "value 1 stands for two classes"),
        ("name,color\na,red\n", "color 'red' is neither"),
        ("name,color\na,300 0 0\n", "numbers are 0 to 255"),
    ],
)
def test_a_file_of_classes_that_says_nonsense_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "classes.csv").write_text(text)
    with pytest.raises(UserError, match=r"classes\.csv") as error:
        find_classes(tmp_path)
    assert message in str(error.value)


def test_masks_come_at_the_encoders_size_with_what_they_hold(tmp_path: Path) -> None:
    mask = np.zeros((4, 6), np.uint8)
    mask[:, 3:] = 1
    mask[0, 0] = 255
    save(tmp_path / "masks/a.png", mask)
    found = source_of(tmp_path, ["images/a.png", "images/b.png"])
    table = read_masks(found, (8, 12))
    np.testing.assert_array_equal(table.masks[0], mask.repeat(2, 0).repeat(2, 1))
    assert (table.masks[1] == 255).all()
    assert table.classes == ("background", "1")
    assert table.pixels.tolist() == [[11, 12], [0, 0]]
    assert table.ignored.tolist() == [1, 0]
    np.testing.assert_array_equal(nearest(table.masks[0], (4, 6)), mask)


def test_a_mask_of_another_size_is_bad_and_says_so(tmp_path: Path) -> None:
    save(tmp_path / "masks/a.png", size=(6, 4))
    found = source_of(tmp_path, ["images/a.png"])
    with_bad = read_masks(found, (4, 4))
    assert with_bad.bad == {0: "images/a.png is 4x6 (height x width), its mask 6x4: they must agree"}


@pytest.mark.parametrize(("values", "message"), [((0, 255), "hold only 0 and 255"), ((0, 128), "the values 0, 128")])
def test_values_that_are_hardly_indices_are_asked_for(tmp_path: Path, values: tuple[int, int], message: str) -> None:
    mask = np.full((4, 6), values[0], np.uint8)
    mask[1] = values[1]
    save(tmp_path / "masks/a.png", mask)
    with pytest.raises(UserError, match=message):
        read_masks(source_of(tmp_path, ["images/a.png"]), (4, 6))


def binary(root: Path, *, high: int = 255, mode: str = "L", low: int = 0) -> Source:
    """Two images with masks of two values."""
    for name in ("a", "b"):
        mask = np.full((4, 6), low, np.uint8)
        mask[1] = high
        save(root / f"images/{name}.png")
        (root / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).convert(mode).save(root / f"masks/{name}.png")
    return read_mask_folder(root, list_images(root))


@pytest.mark.case("with names for the classes, an object stored as 255 was ignored everywhere, without a word")
@pytest.mark.parametrize("names", ["name\nbackground\ncell\n", "name,color\nbackground,#000000\ncell,#ffffff\n"])
@pytest.mark.parametrize("mode", ["L", "P"])
def test_masks_of_0_and_255_are_asked_about_whatever_the_classes_are_called(
    tmp_path: Path, names: str, mode: str
) -> None:
    (tmp_path / "classes.csv").write_text(names)
    with pytest.raises(UserError, match=r"hold only 0 and 255.*if it is cell, name .*background,0 and cell,255"):
        read_masks(binary(tmp_path, mode=mode), (4, 6))


@pytest.mark.parametrize(
    ("names", "mode", "high", "low", "counts", "ignored"),
    [
        ("name,value\nbackground,0\ncell,255\n", "L", 255, 0, [36, 12], 0),
        ("name,color\nbackground,#000000\ncell,#ffffff\n", "RGB", 255, 0, [36, 12], 0),
        ("name\nbackground\ncell\n", "L", 1, 0, [36, 12], 0),
        ("name\nbackground\ncell\n", "L", 255, 1, [0, 36], 12),
        ("name\nbackground\ncell\n", "L", 255, 255, [0, 0], 48),
        ("name,color\nbackground,#ffffff\ncell,#000000\n", "L", 1, 0, [36, 12], 0),
        ("name,value\nbackground,0\ncell,1\n", "L", 255, 0, [36, 0], 12),
    ],
)
def test_other_masks_of_two_values_are_what_their_classes_say(
    tmp_path: Path, names: str, mode: str, high: int, low: int, counts: list[int], ignored: int
) -> None:
    """Values, colors, indices, and 255 as a rim; the last says that 255 is no class, and a note tells it."""
    (tmp_path / "classes.csv").write_text(names)
    source = binary(tmp_path, high=high, low=low, mode=mode)
    table = read_masks(source, (4, 6))
    assert (table.pixels.sum(0).tolist(), int(table.ignored.sum())) == (counts, ignored)
    notes = with_masks(source, (4, 6), progress=False)[0].notes
    assert ("ignored" in " ".join(notes)) == (0 < ignored < 48)


@pytest.mark.case("among masks in color, one of black and white that was saved as gray was read as 0 and ignored")
@pytest.mark.parametrize("mode", ["L", "P", "1"])
def test_masks_in_color_may_be_saved_with_fewer_bits(tmp_path: Path, mode: str) -> None:
    """White is a class, whichever masks of the set are gray; without one in color gray counts by its indices."""
    (tmp_path / "classes.csv").write_text("name,color\nbackground,#000000\ncell,#ffffff\nrim,#ff0000\n")
    source = binary(tmp_path, mode=mode)
    color = np.zeros((4, 6, 3), np.uint8)
    color[1], color[2] = 255, (255, 0, 0)
    save(tmp_path / "masks/b.png", color)
    table = read_masks(source, (4, 6))
    assert table.pixels.tolist() == [[18, 6, 0], [12, 6, 6]]
    assert not table.ignored.any()

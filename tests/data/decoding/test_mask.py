"""Masks of every kind to classes, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from unmask.config.data import IGNORED
from unmask.data.decoding.mask import MaskCode, read_mask
from unmask.errors import UserError

MASK = np.array([[0, 1, 2], [3, 0, IGNORED]], np.uint8)
COLORS = {0: (0, 0, 0), 1: (255, 0, 0), 2: (0, 128, 0), 3: (7, 8, 9), IGNORED: (224, 224, 192)}


def palette_image() -> Image.Image:
    image = Image.fromarray(MASK, "L").convert("P")
    image.putdata(MASK.flatten().tolist())
    # The palette shows classes in colors that are no indices: reading colors would be wrong.
    image.putpalette([channel for index in range(256) for channel in ((index * 37) % 256, index, 9)])
    return image


def write(folder: Path, kind: str) -> Path:
    file = folder / f"mask-{kind}.{'npy' if kind == 'npy' else 'tif' if 'tiff' in kind else 'png'}"
    if kind == "npy":
        np.save(file, MASK.astype(np.int32)[None])
    elif kind == "gray":
        Image.fromarray(MASK).save(file)
    elif kind == "gray16":
        Image.fromarray(MASK.astype(np.uint16)).save(file)
    elif kind == "palette":
        palette_image().save(file)
    elif kind == "tiff":
        Image.fromarray(MASK).save(file)
    elif kind == "tiff64":
        tifffile.imwrite(file, MASK.astype(np.int64))
    elif kind == "gray-rgb":
        Image.fromarray(np.stack([MASK] * 3, -1)).save(file)
    return file


@pytest.mark.parametrize("kind", ["npy", "gray", "gray16", "palette", "tiff", "tiff64", "gray-rgb"])
@pytest.mark.parametrize("names", [(), ("background", "a", "b", "c")])
def test_every_kind_of_index_mask(tmp_path: Path, kind: str, names: tuple[str, ...]) -> None:
    found = read_mask(write(tmp_path, kind), MaskCode(names))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, MASK)


def test_one_bit_masks_are_background_and_object(tmp_path: Path) -> None:
    Image.fromarray(MASK == 1).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", MaskCode()), (MASK == 1).astype(np.uint8))


def test_colors_by_their_table(tmp_path: Path) -> None:
    image = np.array([[COLORS[value] for value in row] for row in MASK.tolist()], np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    code = MaskCode(("background", "a", "b", "c", "void"), colors={color: min(k, 4) for k, color in COLORS.items()})
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", code), np.minimum(MASK, 4))


def test_values_by_their_table(tmp_path: Path) -> None:
    Image.fromarray((MASK == 1).astype(np.uint8) * 255).save(tmp_path / "a.png")
    code = MaskCode(("background", "object"), values={0: 0, 255: 1})
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", code), (MASK == 1).astype(np.uint8))


def test_orientation_turns_a_mask(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(MASK).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", MaskCode()), np.rot90(MASK, -1))


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (MASK, MaskCode(("background", "a")), "holds class 2, and there are 2: 0 (background) to 1; 255 is ignored"),
        (MASK, MaskCode(("x", "y"), values={0: 0, 1: 1}), "holds the value 2, which is not a class"),
        (np.stack([MASK, MASK * 2, MASK], -1), MaskCode(), "is in color: name its colors in classes.csv"),
        (np.stack([MASK] * 3, -1), MaskCode(("x",), colors={(0, 0, 0): 0}), "holds the color #010101"),
        (MASK.astype(np.uint16) * 300, MaskCode(), "holds 300: classes are 0 to 254"),
    ],
)
def test_what_stands_for_no_class_is_refused_in_one_line(
    tmp_path: Path, content: np.ndarray, code: MaskCode, message: str
) -> None:
    Image.fromarray(content).save(tmp_path / "a.png")
    with pytest.raises(UserError) as error:
        read_mask(tmp_path / "a.png", code)
    assert str(error.value).startswith(f"{tmp_path / 'a.png'}: {message}")
    assert "\n" not in str(error.value)


def test_jpeg_transparency_fractions_and_cut_files_are_refused(tmp_path: Path) -> None:
    Image.fromarray(MASK).save(tmp_path / "a.jpg")
    clear = np.dstack([MASK, MASK, MASK, MASK])
    Image.fromarray(clear).save(tmp_path / "b.png")
    np.save(tmp_path / "c.npy", MASK / 2)
    np.save(tmp_path / "d.npy", np.stack([MASK, MASK]))
    Image.fromarray(MASK).save(tmp_path / "whole.png")
    (tmp_path / "e.png").write_bytes((tmp_path / "whole.png").read_bytes()[:-6])
    expected = {
        "a.jpg": "JPEG",
        "b.png": "transparent",
        "c.npy": "fractions",
        "d.npy": "(2, 2, 3)",
        "e.png": "truncated",
    }
    for name, word in expected.items():
        with pytest.raises(UserError, match=name) as error:
            read_mask(tmp_path / name, MaskCode())
        assert word in str(error.value)

"""One mask file to a class per pixel: index and palette images, gray, RGB by a table of colors, TIFF and .npy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from unmask.config.data import IGNORED
from unmask.data.decoding.decode import named, open_image
from unmask.data.decoding.file import File
from unmask.data.decoding.high_depth import loses_depth
from unmask.data.decoding.npy import read_array
from unmask.data.decoding.tiff_strips import require_strips
from unmask.data.decoding.tiff_tags import full_pages, open_tiff
from unmask.data.decoding.whole import require_whole
from unmask.errors import UserError

Color = tuple[int, int, int]


@dataclass(frozen=True)
class MaskCode:
    """How values of masks become classes."""

    names: tuple[str, ...] = ()
    """The classes, if they are named; without names every value is the index of a class."""
    values: Mapping[int, int] = field(default_factory=dict)
    """Stored value → class, if values are not indices."""
    colors: Mapping[Color, int] = field(default_factory=dict)
    """Color → class, for masks in color."""
    all_colored: bool = False
    """Whether gray and palette images also count by their colors: they are masks in color, saved with fewer bits."""


def read_mask(file: File, code: MaskCode) -> NDArray[np.uint8]:
    """The class of every pixel, uint8 (H, W), upright; `IGNORED` if there is none.

    Palette images count by their indices, not their colors, and gray ones by their values, unless `all_colored`.

    Raises:
        UserError: not a mask: cut off, lossily compressed, in colors without a table, with fractions, or with a value
            that is not a class. The message names the file.
    """
    with named(file):
        stored = _stored(file, colored=code.all_colored)
        return _by_color(stored, code) if stored.ndim == 3 else indices_of(stored, code)


def is_colored(file: File) -> bool:
    """Whether a mask has three colors per pixel; False if it cannot be read."""
    if file.suffix.lower() == ".npy":
        return False
    try:
        with named(file), open_image(file, whole=False) as image:
            return image is not None and image.mode.startswith("RGB")
    except UserError:
        return False


def indices_of(stored: NDArray[Any], code: MaskCode) -> NDArray[np.uint8]:
    """Stored numbers (H, W) as classes.

    Raises:
        UserError: fractions, or a value that is not a class.
    """
    if stored.dtype.kind == "f" and not np.array_equal(stored, np.round(stored)):
        raise UserError("holds fractions: a mask holds a whole number for each pixel, the index of its class")
    known = dict(code.values) or {index: index for index in range(len(code.names) or IGNORED)}
    table = known | {IGNORED: code.values.get(IGNORED, IGNORED)}
    found, place = np.unique(stored, return_inverse=True)
    for value in found.tolist():
        if int(value) not in table:
            raise UserError(_unknown_value(int(value), code))
    classes = np.asarray([table[int(value)] for value in found.tolist()], np.uint8)
    return classes[place.reshape(stored.shape)]


def _unknown_value(value: int, code: MaskCode) -> str:
    if code.values:
        return f"holds the value {value}, which is not a class of the class file (nor {IGNORED})"
    count = len(code.names)
    if count:
        return f"holds class {value}, and there are {count}: 0 ({code.names[0]}) to {count - 1}; {IGNORED} is ignored"
    return (
        f"holds {value}: classes are 0 to {IGNORED - 1}, {IGNORED} is ignored; classes.csv (name,value) may name others"
    )


def _by_color(stored: NDArray[np.uint8], code: MaskCode) -> NDArray[np.uint8]:
    """RGB (H, W, 3) by the table of colors; equal channels are gray if there is none."""
    if not code.colors:
        if (stored == stored[..., :1]).all():
            return indices_of(stored[..., 0], code)
        raise UserError("is in color: name its colors in classes.csv (name,color) beside the masks, or store indices")
    keys = stored.astype(np.int64) @ np.array([65536, 256, 1])
    table = {(red << 16) + (green << 8) + blue: label for (red, green, blue), label in code.colors.items()}
    found, place = np.unique(keys, return_inverse=True)
    for key in found.tolist():
        if key not in table:
            raise UserError(f"holds the color #{key:06x}, which is not a class of the class file")
    return np.asarray([table[key] for key in found.tolist()], np.uint8)[place.reshape(keys.shape)]


def _stored(file: File, *, colored: bool = False) -> NDArray[Any]:
    """Numbers (H, W), or colors (H, W, 3), as they are in the file; `colored`: of gray and palettes the colors."""
    if file.suffix.lower() == ".npy":
        with file.open("rb") as handle:
            values = np.squeeze(read_array(handle))
        if values.ndim != 2 or values.dtype.kind not in "buif":
            raise UserError(f"a mask is an array of numbers (height, width), found {values.shape} of {values.dtype}")
        return values
    with open_image(file) as image:
        if image is None:
            return _tiff(file)
        if image.format == "JPEG":
            raise UserError("is a JPEG, which blurs the values of a mask: store it as PNG")
        if loses_depth(image) and image.mode.startswith("RGB"):
            raise UserError("has 16 bits per color: store indices, or 8 bits per color")
        require_whole(image, file)
        image.load()
        if image.format == "TIFF":
            require_strips(image, file)
        return _numbers(ImageOps.exif_transpose(image), colored=colored)


def _tiff(file: File) -> NDArray[Any]:
    """A TIFF of a kind that PIL does not know."""
    with open_tiff(file) as tiff:
        values = np.squeeze(full_pages(tiff)[0].asarray())
    if values.ndim != 2:
        raise UserError(f"a mask has one number per pixel, this one is an array of shape {values.shape}")
    return values


def _numbers(image: Image.Image, *, colored: bool) -> NDArray[Any]:
    if image.mode in ("RGBA", "LA", "PA"):
        if np.asarray(image.getchannel("A")).min() < 255:
            raise UserError("has transparent pixels, which have no class: store indices")
        image = image.convert(image.mode[:-1]) if image.mode != "PA" else image.convert("P")
    if image.mode not in ("1", "L", "P", "RGB", "F") and not image.mode.startswith("I"):
        raise UserError(f"masks of mode {image.mode} are not supported: store indices (PNG, 8 bits gray or palette)")
    if colored and image.mode in ("1", "L", "P"):
        return np.array(image.convert("RGB"))
    return np.array(image).astype(np.uint8) if image.mode == "1" else np.array(image)

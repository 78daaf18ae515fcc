"""One image file to an array, whole or not at all."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from unmask.data.source import Arrays, Files
from unmask.errors import UserError

BACKGROUND = 255
"""What shows through transparent pixels: white, in training and evaluation alike."""
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".npy"})
"""Names of files that are taken for images, in any case."""


def decode(path: Path, *, page: int = 0, pages_are_channels: bool = False) -> NDArray[np.generic]:
    """The pixels of a file: uint8, uint16 or float32, shape (C, H, W), C = 1 or 3 for image files.

    EXIF orientation is applied; palettes, CMYK and other colour spaces become RGB; transparency is laid over
    `BACKGROUND`; 16-bit and float grey keep their values.

    Raises:
        UserError: the file is missing, no image, cut off or of a mode that is not supported. The message names it.
    """
    try:
        with Image.open(path) as image:
            image.seek(page)
            image.load()
            return to_array(ImageOps.exif_transpose(image))
    except UserError as error:
        raise UserError(f"{shown(path)}: {error}") from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise UserError(f"{shown(path)}: {one_line(error)}") from None


def to_array(image: Image.Image) -> NDArray[np.generic]:
    """A loaded PIL image as (C, H, W).

    Raises:
        UserError: an unsupported mode.
    """
    if "transparency" in image.info and image.mode in ("P", "L", "RGB", "1"):
        image = image.convert("RGBA")
    if image.mode in ("PA", "La", "RGBa"):
        image = image.convert({"PA": "RGBA", "La": "LA", "RGBa": "RGBA"}[image.mode])
    if image.mode in ("RGBA", "LA"):
        image = over_background(image)
    if image.mode in ("P", "CMYK", "YCbCr", "HSV"):
        image = image.convert("RGB")
    if image.mode == "1":
        image = image.convert("L")
    if image.mode == "L" or image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16 if image.mode != "L" else np.uint8)[None]
    if image.mode == "RGB":
        return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))
    if image.mode == "F":
        return np.asarray(image, dtype=np.float32)[None]
    if image.mode == "I":
        return integers(np.asarray(image))[None]
    raise UserError(f"images of mode {image.mode} are not supported: convert it to RGB, L, I;16 or F")


def over_background(image: Image.Image) -> Image.Image:
    """RGBA → RGB or LA → L over the background colour; colours under alpha 0 leave no trace."""
    plain = "RGB" if image.mode == "RGBA" else "L"
    base = Image.new(plain, image.size, (BACKGROUND,) * 3 if plain == "RGB" else BACKGROUND)
    base.paste(image.convert(plain), mask=image.getchannel("A"))
    return base


def integers(values: NDArray[np.generic]) -> NDArray[np.uint16]:
    """32-bit integers that fit into 16 bits, which is what such files hold in practice.

    Raises:
        UserError: values beyond 0..65535.
    """
    if values.min() < 0 or values.max() > 65535:
        raise UserError("32-bit integers outside 0..65535 are not supported: store it as float or 16 bits")
    return values.astype(np.uint16)


def decode_failure(images: Files | Arrays, row: int, error: Exception) -> str:
    """One line for a row that could not be read."""
    if isinstance(error, UserError):
        return str(error)
    return f"{shown(images.paths[row]) if isinstance(images, Files) else f'image {row}'}: {one_line(error)}"


def shown(path: Path) -> str:
    """A path as printable text, also where its bytes are no UTF-8."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def one_line(error: Exception) -> str:
    """The message of an exception on one line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join((text or type(error).__name__).split())

"""One image file to an array, whole or not at all."""

import errno
import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, features

from unmask.config.data import Layout
from unmask.data.decoding.channel_axis import image_of
from unmask.data.decoding.file import File, readable, require_regular
from unmask.data.decoding.high_depth import loses_depth, read_deep_png
from unmask.data.decoding.image_format import kind_of, white_as_255
from unmask.data.decoding.jpeg import is_plain, read_jpeg
from unmask.data.decoding.missing import require_pixels, without, without_nodata
from unmask.data.decoding.npy import map_array, read_array
from unmask.data.decoding.orientation import upright
from unmask.data.decoding.pil_modes import to_array
from unmask.data.decoding.pixel_budget import BUDGET
from unmask.data.decoding.reading import DEFAULT, Reading
from unmask.data.decoding.tiff import read_tiff_page
from unmask.data.decoding.tiff_missing import pillow_missing
from unmask.data.decoding.tiff_strips import require_strips
from unmask.data.decoding.tiff_tags import full_pages, open_tiff, pages_of, seek, stored_size
from unmask.data.decoding.whole import require_whole
from unmask.data.file_names import one_line
from unmask.errors import UserError

JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")
"""Files up to this size are read into memory as a whole, to be opened and decoded from there."""
OPTIONAL = {"AVIF": ("avif", (".avif",)), "JPEG2000": ("jpg_2000", (".jp2",))}
"""Formats that PIL may have been built without a decoder for: its name and the suffixes."""
HAVE = {name: suffixes for name, (decoder, suffixes) in OPTIONAL.items() if features.check(decoder)}
SUFFIXES = frozenset(
    {*JPEG, ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".npy"}.union(*HAVE.values())
)
"""Suffixes of files that are taken for images, in upper or lower case."""
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP", *HAVE)
"""Formats that files are opened as, by their content. PIL knows more, and runs other programs for some (PostScript)."""


def decode(path: File, reading: Reading = DEFAULT, *, target: tuple[int, int] | None = None) -> NDArray[np.generic]:
    """The pixels of a file: uint8, uint16 or float32, shape (C, H, W).

    EXIF orientation is applied; palettes, CMYK and other color spaces become RGB; transparency is laid over a
    background; 16-bit and float pixels keep their values. A .npy file holds one image, (H, W), (H, W, C) or (C, H, W).
    Pixels without a value are NaN; the image is then float32 (integers count from 0 to 1).

    Args:
        reading: which of its pages, and how transparency is treated.
        target: height and width to which the image will be resized. A JPEG with sides four times as long or longer
            is decoded at a half, quarter or eighth of its size, still at least twice the target: a large photograph
            in a quarter of the time, about 0.2 of 255 levels apart in the mean.

    Raises:
        UserError: the file is missing, not an image, cut off or of an unsupported kind. The message names it.
    """
    with named(path):
        if path.suffix.lower() == ".npy":
            return require_pixels(without_nodata(read_npy(path, reading.layout), reading.nodata))
        with open_image(path) as image:
            pages = _read_by_tifffile(path, reading) if image is None else _read_pages(image, path, reading, target)
        kinds = {page.dtype.name for page in pages}
        if len(kinds) > 1:
            raise UserError(
                f"pages of different number types ({', '.join(sorted(kinds))}) are not channels of an image"
            )
        return require_pixels(np.concatenate(pages) if len(pages) > 1 else pages[0])


def _read_pages(
    image: Image.Image, path: File, reading: Reading, target: tuple[int, int] | None
) -> list[NDArray[np.generic]]:
    """A page, or all pages, of an open image."""
    wanted = pages_of(image, path) if reading.pages_are_channels else [_position(image, path, reading.page)]
    if target is not None and image.format == "JPEG" and reading.nodata is None:
        image.draft(None, (2 * max(target), 2 * max(target)))
    BUDGET.take(len(wanted) * math.prod(stored_size(image)))
    return [_read_page(image, path, position, reading, is_first=not done) for done, position in enumerate(wanted)]


def _read_by_tifffile(path: File, reading: Reading) -> list[NDArray[np.generic]]:
    """A page, or all pages, of a TIFF that Pillow cannot open."""
    with open_tiff(path) as file:
        pages = full_pages(file)
        require_page(reading.page, len(pages))
        wanted = pages if reading.pages_are_channels else [pages[reading.page]]
        BUDGET.take(sum(math.prod(page.shape) for page in wanted))
        return [read_tiff_page(page, path, reading) for page in wanted]


def _position(image: Image.Image, path: File, page: int) -> int:
    """Where in the file a page of an open image is."""
    if page == 0:
        return 0
    positions = pages_of(image, path)
    require_page(page, len(positions))
    return positions[page]


def require_page(page: int, count: int) -> None:
    """Raise `UserError` if a file has no such page."""
    if page >= count:
        raise UserError(f"page {page} was requested, but the file has {count} (counted from 0)")


SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""A shortage of the machine, not a fault of the file, which must not be left out for it."""


@contextmanager
def named(path: File | str) -> Iterator[None]:
    """Turn whatever is wrong with a file into a `UserError` of one line that begins with the path.

    Lack of memory and of open files is passed on unchanged.
    """
    try:
        yield
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except MemoryError:
        raise
    except Exception as error:  # decoders raise errors of any type on damaged files
        if isinstance(error, OSError) and error.errno in SHORTAGES:
            raise
        raise UserError(f"{path}: {one_line(error)}") from None


@contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings of odd metadata and large images: what matters is an error. For a whole loop of reading.

    Filters and log levels are global, so this is entered once by the thread that starts the others.
    """
    levels = {logger: logger.level for logger in map(logging.getLogger, ("tifffile", "PIL"))}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")
            for logger in levels:
                logger.setLevel(logging.CRITICAL + 1)
            yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


@contextmanager
def open_image(path: File, *, whole: bool = True) -> Iterator[Image.Image | None]:
    """PIL's lazy image, with only its header read; None for a TIFF of a kind that PIL does not know.

    Args:
        whole: read a JPEG into memory as a whole, to be decoded from there; not needed if the header is enough.

    Raises:
        UserError: not an image, with its fix, or an image too large to decode whole.
    """
    require_regular(path)
    in_memory = whole and path.suffix.lower() in JPEG
    with nullcontext(BytesIO(path.read_bytes())) if in_memory else readable(path) as file:
        try:
            image = Image.open(file, formats=FORMATS)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            raise UserError("the image is too large to decode whole: cut it into tiles") from None
        except Image.UnidentifiedImageError:
            _require_tiff(path)
            yield None
            return
        with image:
            yield image


def _require_tiff(path: File) -> None:
    """Raise `UserError` with the likely reason unless a file that PIL does not know may still be a TIFF."""
    with path.open("rb") as file:
        head = file.read(132)
    if head[:2] in (b"II", b"MM"):
        return
    if not head:
        raise UserError("the file is empty")
    if head[128:] == b"DICM" or path.suffix.lower() in (".dcm", ".dicom"):
        raise UserError("DICOM is not read: convert it to 16-bit PNG, TIFF or .npy")
    raise UserError("not an image of a known kind, or cut off within its header")


def _read_page(
    image: Image.Image, path: File, position: int, reading: Reading, *, is_first: bool
) -> NDArray[np.generic]:
    """The page at a position of an open image as (C, H, W). With the first one the whole file is checked.

    Raises:
        UserError: cut off, or of an unsupported mode.
    """
    if not seek(image, position):
        with open_tiff(path) as file:
            return read_tiff_page(file.pages[position].aspage(), path, reading)
    if is_first:
        require_whole(image, path)
    if loses_depth(image):
        return without_nodata(read_deep_png(path, reading), reading.nodata)
    if is_plain(image) and (plain := read_jpeg(image)) is not None:
        return without_nodata(upright(plain, image.getexif().get(0x0112, 1)), reading.nodata)
    if image.format == "TIFF":
        image.filename = ""  # type: ignore[attr-defined]  # or Pillow maps the file, and garbles a turned gray image
    image.load()
    if image.format == "TIFF":
        require_strips(image, path)
    ImageOps.exif_transpose(image, in_place=True)
    values = to_array(image, reading)
    return without(values, pillow_missing(image, path, position, values, reading))


def read_npy(path: File, layout: Layout | None = None, *, mapped: bool = False) -> NDArray[np.generic]:
    """One image from a .npy file, (H, W), (H, W, C) or (C, H, W), as (C, H, W); `mapped` where it is on disk."""
    require_regular(path)
    if mapped and isinstance(path, Path):
        values = map_array(path)
    else:
        with path.open("rb") as file:
            values = read_array(file)
    kind_of(values.dtype)
    return image_of(values if mapped else white_as_255(values), layout)

"""Files with more than 8 bits or 3 channels a pixel, which PIL would cut to 8 bits or refuse."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unmask.data.modes import BACKGROUND, as_16_bit, finite
from unmask.data.stored import File, readable
from unmask.errors import UserError


def loses_depth(image: Image.Image) -> bool:
    """Whether PIL reads an open, not yet loaded PNG or TIFF with fewer bits than it has: 16-bit colour or alpha."""
    if image.mode.startswith("I") or image.mode == "F":
        return False
    if image.format == "PNG":
        return any(";16B" in str(tile[3]) for tile in getattr(image, "tile", ()))
    if image.format == "TIFF":
        return max(image.tag_v2.get(258, (8,)), default=8) > 8  # type: ignore[attr-defined]
    return False


def read_deep_png(path: File) -> NDArray[np.generic]:
    """A 16-bit PNG with colour as uint16 (3, H, W); alpha is laid over the background.

    PIL keeps one byte of each value. Read as big-endian numbers it is the upper byte, as little-endian ones the lower.

    Raises:
        UserError: grey with alpha, of which PIL only gives the upper byte.
    """
    upper, lower = (_bytes_of_png(path, order) for order in "BL")
    values = (upper.astype(np.uint16) * 256 + lower).transpose(2, 0, 1)
    return over_background(values) if len(values) == 4 else np.ascontiguousarray(values)


def _bytes_of_png(path: File, order: str) -> NDArray[np.uint8]:
    with readable(path) as file, Image.open(file) as image:
        tile = getattr(image, "tile")[0]  # noqa: B009, declared for files only
        mode = str(tile.args).partition(";")[0]
        if mode not in ("RGB", "RGBA"):
            raise UserError(f"16-bit PNG of kind {mode} is not supported: store it without alpha")
        image.tile = [tile._replace(args=f"{mode};16{order}")]
        image.load()
        return np.asarray(image)


def over_background(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """The channels but the last, laid over `BACKGROUND` by the last, which is alpha. uint8 or uint16, (C + 1, H, W)."""
    top = 255 if values.dtype == np.uint8 else 65535
    shares = values.astype(np.float64) / top
    alpha = shares[-1:]
    return np.rint(top * (shares[:-1] * alpha + BACKGROUND / 255 * (1 - alpha))).astype(values.dtype)


def read_tiff(path: File, page: int, pages_are_channels: bool) -> NDArray[np.generic]:
    """A page of any TIFF, or all of them, as (C, H, W).

    Raises:
        UserError: no such page, damaged, or integers beyond 16 bits.
    """
    with open_tiff(path) as file:
        if not pages_are_channels and page >= len(file.pages):
            raise UserError(f"page {page} is wanted, the file has {len(file.pages)} (counted from 0)")
        pages = list(file.pages) if pages_are_channels else [file.pages[page]]
        return np.concatenate([_page(p) for p in pages])


@contextmanager
def open_tiff(path: File) -> Iterator[Any]:
    """tifffile's TiffFile.

    Raises:
        UserError: tifffile is not installed, or the file is no TIFF.
    """
    try:
        import tifffile
    except ImportError:
        raise UserError("this kind of TIFF is read by the package tifffile: pip install tifffile") from None
    with readable(path) as stored:
        try:
            opened = tifffile.TiffFile(stored)
        except (tifffile.TiffFileError, ValueError, IndexError, KeyError) as error:
            raise UserError(f"damaged TIFF ({' '.join(str(error).split())})") from None
        with opened:
            yield opened


def page_layout(page: Any) -> tuple[int, int, int, np.dtype[np.generic]]:
    """Channels, height, width and number type of a tifffile page, alpha not counted."""
    shape = dict(zip(page.axes, page.shape, strict=True))
    channels = shape.get("S", 1) - (1 if _has_alpha(page) else 0)
    return channels, shape["Y"], shape["X"], page.dtype


def _page(page: Any) -> NDArray[np.generic]:
    try:
        values = page.asarray()
    except Exception as error:  # tifffile's codecs raise errors of many types on damaged files
        raise UserError(f"damaged TIFF, or a compression that needs imagecodecs ({error})") from None
    values = {"YX": lambda v: v[None], "YXS": lambda v: v.transpose(2, 0, 1), "SYX": lambda v: v}[page.axes](values)
    if values.dtype.kind == "f":
        values = finite(values.astype(np.float32))
    elif values.dtype.itemsize > 2 or values.dtype.kind == "i":
        values = as_16_bit(values)
    return over_background(values) if _has_alpha(page) else values


def _has_alpha(page: Any) -> bool:
    return page.extrasamples in ((1,), (2,)) and page.samplesperpixel in (2, 4)

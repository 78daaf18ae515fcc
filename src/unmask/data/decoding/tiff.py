"""TIFF files, judged by their tags: Pillow decodes what it counts as the tags do, tifffile decodes everything else."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unmask.data.decoding.file import File, readable
from unmask.data.decoding.orientation import upright
from unmask.data.decoding.pil_modes import TRANSPARENT, as_16_bit, finite, require_transparency
from unmask.data.decoding.reading import DEFAULT, Reading
from unmask.errors import UserError

SAMPLES, BITS, FORMAT, PLANAR, PHOTOMETRIC, EXTRA, ORIENTATION = 277, 258, 339, 284, 262, 338, 274
"""Tags of TIFF 6.0."""
NOT_A_PAGE = 0b101
"""Bits of the subfile type: a page of reduced size, a transparency mask."""
INVERTED, BLACK_IS_ZERO, COLOR, PALETTE = range(4)
"""Photometric interpretations that tifffile's values can be brought to images from."""
ASSOCIATED, UNASSOCIATED = 1, 2
"""Extra samples that are alpha: colors multiplied by it, or not."""
MOST_VALUES = 2**29
"""Values of one page, all channels counted: 1 GiB of 16 bits."""


def pillow_agrees(image: Image.Image) -> bool:
    """Whether Pillow decodes the current page of an open TIFF to the samples, bits and alpha that its tags declare.

    It reads the first band of band-separate files, takes a fourth sample for alpha and 16-bit colors as 8 bits.
    """
    tags: Any = image.tag_v2  # type: ignore[attr-defined]
    bits, formats = tags.get(BITS, (1,)), tags.get(FORMAT, (1,))
    samples = tags.get(SAMPLES, 1)
    if tags.get(PLANAR, 1) != 1 or samples != len(image.getbands()) or len({*bits}) > 1 or len({*formats}) > 1:
        return False
    if has_alpha(samples, tags.get(EXTRA, ())) != (image.mode in TRANSPARENT):
        return False
    if max(bits) <= 8:
        return bool(formats[0] == 1)
    kept = image.mode.startswith("I;16") if formats[0] == 1 else image.mode == "F" and formats[0] == 3
    return bool(kept and tags.get(PHOTOMETRIC) == BLACK_IS_ZERO)


def has_alpha(samples: int, extra: tuple[int, ...]) -> bool:
    """Whether the last of the samples of a pixel is declared to be alpha."""
    return samples in (2, 4) and tuple(extra) in ((ASSOCIATED,), (UNASSOCIATED,))


def pages_of(image: Image.Image, path: File) -> list[int]:
    """Positions, in the file, of an open image's pages; overviews and masks of a TIFF are not pages."""
    if image.format != "TIFF":
        return list(range(getattr(image, "n_frames", 1)))
    with open_tiff(path) as file:
        return [position for position, page in enumerate(file.pages) if _is_full(page)]


def seek(image: Image.Image, position: int) -> bool:
    """Go to a page of an open image; whether Pillow knows its kind and, of a TIFF, agrees with its tags."""
    try:
        image.seek(position)
    except SyntaxError:
        return False
    return image.format != "TIFF" or pillow_agrees(image)


@contextmanager
def open_tiff(path: File) -> Iterator[Any]:
    """tifffile's TiffFile.

    Raises:
        UserError: the file is not a TIFF, or damaged.
    """
    import tifffile

    with readable(path) as stored:
        try:
            opened = tifffile.TiffFile(stored)
        except (tifffile.TiffFileError, ValueError, IndexError, KeyError) as error:
            raise UserError(f"damaged TIFF ({' '.join(str(error).split())})") from None
        with opened:
            yield opened


def full_pages(file: Any) -> list[Any]:
    """The pages of a TiffFile that are neither overviews nor masks."""
    return [page.aspage() for page in file.pages if _is_full(page)]


def _is_full(page: Any) -> bool:
    return not page.aspage().subfiletype & NOT_A_PAGE


def page_layout(page: Any, reading: Reading = DEFAULT) -> tuple[int, int, int, np.dtype[np.generic]]:
    """Channels, height and width of the image that `read_tiff_page` makes of a page, and its number type."""
    shape = dict(zip(page.axes, page.shape, strict=True))
    channels = 3 if page.photometric == PALETTE else shape.get("S", 1) - is_blended(page, reading)
    turned = _orientation(page) >= 5
    size = (shape["X"], shape["Y"]) if turned else (shape["Y"], shape["X"])
    return channels, *size, np.dtype(np.uint16) if page.photometric == PALETTE else _target_type(page.dtype)


def read_tiff_page(page: Any, reading: Reading = DEFAULT) -> NDArray[np.generic]:
    """A tifffile page as (C, H, W): uint8, uint16 or float32; upright, alpha treated as `reading` says.

    Signed 8- and 16-bit values become float32, which holds them exactly.

    Raises:
        UserError: damaged, of a compression without a decoder, a color space other than gray, RGB or palette, too
            large, 32-bit integers beyond 16 bits, or float with alpha.
    """
    _require_readable(page, reading)
    try:
        values = page.asarray()
    except Exception as error:  # tifffile's codecs raise errors of many types on damaged files
        if "imagecodecs" in str(error):
            raise UserError(f"{page.compression.name} compression is read with: pip install imagecodecs") from None
        raise UserError(f"damaged TIFF ({' '.join(str(error).split())})") from None
    values = {"YX": lambda v: v[None], "YXS": lambda v: v.transpose(2, 0, 1), "SYX": lambda v: v}[page.axes](values)
    values = _plain_values(page, values)
    if is_blended(page, reading):
        if reading.alpha == "judge":
            require_transparency(values[-1])
        values = over_background(values, reading, premultiplied=_extra(page) == (ASSOCIATED,))
    return upright(values, _orientation(page))


def over_background(
    values: NDArray[np.generic], reading: Reading, *, premultiplied: bool = False
) -> NDArray[np.generic]:
    """The channels but the last, laid over the background by the last, alpha. uint8 or uint16, (C + 1, H, W)."""
    top = 255 if values.dtype == np.uint8 else 65535
    shares = values.astype(np.float64) / top
    colors, alpha = shares[:-1], shares[-1:]
    laid = (colors if premultiplied else colors * alpha) + reading.background / 255 * (1 - alpha)
    return np.rint(top * laid.clip(0, 1)).astype(values.dtype)


def _require_readable(page: Any, reading: Reading) -> None:
    """Raise `UserError` for what would be read as something else, or not at all."""
    if page.axes not in ("YX", "YXS", "SYX"):
        raise UserError(f"a TIFF page with axes {page.axes} is not one image: store height, width and channels")
    if page.photometric not in (INVERTED, BLACK_IS_ZERO, COLOR, PALETTE):
        raise UserError(
            f"a TIFF of color space {page.photometric.name} and this depth is not supported: convert to RGB"
        )
    if int(np.prod(page.shape)) > MOST_VALUES or page.imagelength * page.imagewidth > _most_pixels():
        raise UserError("the image is too large to decode whole: cut it into tiles")
    unsigned = page.dtype.kind in "bu"
    if page.photometric == INVERTED and not unsigned:
        raise UserError(f"{page.dtype} values of which 0 is white are not supported: store them with 0 as black")
    if is_blended(page, reading) and not unsigned:
        raise UserError(
            f"{page.dtype} values with alpha are not blended: `channels=4` (2 for gray) keeps alpha as a band"
        )


def _most_pixels() -> float:
    return Image.MAX_IMAGE_PIXELS or float("inf")


def _plain_values(page: Any, values: NDArray[Any]) -> NDArray[Any]:
    """Palettes looked up, inverted grays turned, number types brought to the three that images have."""
    if page.photometric == PALETTE:
        return np.asarray(page.colormap[:, values[0]], np.uint16)
    if values.dtype == np.bool_:
        values = values.astype(np.uint8) * 255
    if page.photometric == INVERTED:
        values = (2 ** min(page.bitspersample, 8 * values.itemsize) - 1) - values
    if _target_type(values.dtype) == np.float32:
        return finite(values.astype(np.float32))
    return as_16_bit(values) if values.dtype.itemsize > 2 else values.astype(values.dtype.newbyteorder("="))


def _target_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.kind == "f" or (dtype.kind == "i" and dtype.itemsize <= 2):
        return np.dtype(np.float32)
    return np.dtype(np.uint8 if dtype.itemsize == 1 else np.uint16)


def is_blended(page: Any, reading: Reading) -> bool:
    """Whether a tifffile page has alpha that is laid over the background."""
    return reading.alpha != "keep" and has_alpha(page.samplesperpixel, _extra(page))


def _extra(page: Any) -> tuple[int, ...]:
    return tuple(int(sample) for sample in page.extrasamples)


def _orientation(page: Any) -> int:
    tag = page.tags.get(ORIENTATION)
    return int(tag.value) if tag is not None else 1

"""TIFF files, by their tags: Pillow decodes those that it reads as the tags say, tifffile everything else."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unmask.data.decoding.file import File
from unmask.data.decoding.image_format import Kind, kind_of, white_as_255
from unmask.data.decoding.missing import without
from unmask.data.decoding.orientation import upright
from unmask.data.decoding.pil_modes import as_16_bit, require_transparency
from unmask.data.decoding.reading import DEFAULT, Reading
from unmask.data.decoding.tiff_missing import declared
from unmask.data.decoding.tiff_strips import require_segments
from unmask.data.decoding.tiff_tags import (
    ASSOCIATED,
    BITS,
    BLACK_IS_ZERO,
    COLOR,
    INVERTED,
    PALETTE,
    has_alpha,
    orientation_of,
    require_tags,
)
from unmask.errors import UserError

MOST_VALUES = 2**29
"""Values of one page, all channels counted: 1 GiB of 16 bits."""


def page_layout(page: Any, path: File, reading: Reading = DEFAULT) -> tuple[int, int, int, Kind, Kind]:
    """Channels, height and width of the image that `read_tiff_page` makes of a page.

    And its number type, without and with what the page declares missing.
    """
    shape = dict(zip(page.axes, page.shape, strict=True))
    channels = 3 if page.photometric == PALETTE else shape.get("S", 1) - is_blended(page, reading)
    turned = orientation_of(page) >= 5
    size = (shape["X"], shape["Y"]) if turned else (shape["Y"], shape["X"])
    kind = kind_of(np.dtype(np.uint16) if page.photometric == PALETTE else _target_type(page.dtype))
    return channels, *size, kind, "float32" if declared(page, path, reading).concerns(page.dtype) else kind


def read_tiff_page(page: Any, path: File, reading: Reading = DEFAULT) -> NDArray[np.generic]:
    """A tifffile page as (C, H, W): uint8, uint16 or float32; upright, alpha handled as `reading` says.

    Signed 8- and 16-bit values become float32, which holds them exactly. What the page declares missing, by
    GDAL's tag or a validity mask, is NaN.

    Raises:
        UserError: damaged, a compression without a decoder, a color space other than gray, RGB or palette, too
            large, 32-bit integers beyond 16 bits, or float with alpha.
    """
    _require_readable(page, reading)
    try:
        values = page.asarray()
    except MemoryError:
        raise
    except Exception as error:  # tifffile's codecs raise errors of many types on damaged files
        if "imagecodecs" in str(error):
            raise UserError(f"{page.compression.name} compression needs: pip install imagecodecs") from None
        raise UserError(f"damaged TIFF ({' '.join(str(error).split())})") from None
    values = {"YX": lambda v: v[None], "YXS": lambda v: v.transpose(2, 0, 1), "SYX": lambda v: v}[page.axes](values)
    missing = declared(page, path, reading).missing(values)
    values = _plain_values(page, values)
    if is_blended(page, reading):
        if reading.alpha == "judge":
            require_transparency(values[-1])
        values = over_background(values, reading, premultiplied=_extra(page) == (ASSOCIATED,))
    if missing is not None:
        missing = missing[: len(values)] if len(missing) > 1 else np.broadcast_to(missing, values.shape)
    return upright(without(values, missing), orientation_of(page))


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
    bits = page.tags.get(BITS)
    require_tags(page.tags, page.samplesperpixel, 1 if bits is None else bits.count, page.planarconfig)
    require_segments(page)
    if page.axes not in ("YX", "YXS", "SYX"):
        raise UserError(f"a TIFF page with axes {page.axes} is not one image: store height, width and channels")
    if page.photometric not in (INVERTED, BLACK_IS_ZERO, COLOR, PALETTE):
        raise UserError(
            f"a TIFF of color space {page.photometric.name} and this depth is not supported: convert to RGB"
        )
    most = Image.MAX_IMAGE_PIXELS or float("inf")
    if int(np.prod(page.shape)) > MOST_VALUES or page.imagelength * page.imagewidth > most:
        raise UserError("the image is too large to decode whole: cut it into tiles")
    unsigned = page.dtype.kind in "bu"
    if page.photometric == INVERTED and not unsigned:
        raise UserError(f"{page.dtype} values with 0 as white are not supported: store them with 0 as black")
    if is_blended(page, reading) and not unsigned:
        raise UserError(
            f"{page.dtype} values with alpha are not blended: `channels=4` (2 for gray) keeps alpha as a band"
        )


def _plain_values(page: Any, values: NDArray[Any]) -> NDArray[Any]:
    """Look up palettes, invert inverted grays, and convert number types to the three that images have."""
    if page.photometric == PALETTE:
        return np.asarray(page.colormap[:, values[0]], np.uint16)
    values = white_as_255(values)
    if page.photometric == INVERTED:
        values = (2 ** min(page.bitspersample, 8 * values.itemsize) - 1) - values
    if _target_type(values.dtype) == np.float32:
        with np.errstate(over="ignore"):
            return values.astype(np.float32)
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

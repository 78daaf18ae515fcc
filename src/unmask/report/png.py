"""Figures as PNG, and image files as data URIs that a page can hold."""

import base64
import io

from matplotlib.figure import Figure
from PIL import Image, UnidentifiedImageError

from unmask.errors import UserError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LARGEST_PNG = 400_000
_WIDEST = 1200


def to_png(figure: Figure) -> bytes:
    """A figure as a PNG file with 120 pixels per 72 CSS pixels."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def png_width(png: bytes) -> int:
    """CSS pixels at which the text of a figure has its original size, from the PNG file of `to_png`."""
    with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
        return round(image.width * 72 / image.info.get("dpi", (72, 72))[0])


def data_uri(png: bytes) -> str:
    """A PNG file as a data URI; a large one is made at most 1200 pixels wide and stored as JPEG.

    Raises:
        UserError: it is not PNG.
    """
    if not png.startswith(_SIGNATURE):
        raise UserError("not a PNG image")
    if len(png) <= _LARGEST_PNG:
        return "data:image/png;base64," + base64.b64encode(png).decode()
    image = Image.open(io.BytesIO(png), formats=("PNG",)).convert("RGB")
    if image.width > _WIDEST:
        image = image.resize((_WIDEST, round(image.height * _WIDEST / image.width)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def jpeg_uri(jpeg: bytes, size: tuple[int, int]) -> str:
    """A JPEG file of this width and height as a data URI.

    Raises:
        UserError: it is not JPEG, or of another size.
    """
    try:
        with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as image:
            found = image.size
    except UnidentifiedImageError:
        raise UserError("not a JPEG image") from None
    if found != size:
        raise UserError(f"is {found[0]} x {found[1]} pixels, its pictures need {size[0]} x {size[1]}")
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()

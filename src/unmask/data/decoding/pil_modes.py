"""PIL's image modes as plain arrays: gray or RGB, 8-bit, 16-bit or float."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unmask.data.decoding.reading import DEFAULT, Reading
from unmask.errors import UserError

GRAY = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"})
"""Modes that become one channel; all others become three."""
TRANSPARENT = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
"""Modes with alpha."""


def to_array(image: Image.Image, reading: Reading = DEFAULT) -> NDArray[np.generic]:
    """A loaded PIL image as uint8, uint16 or float32: (1, H, W) or (3, H, W), with one more channel for kept alpha.

    Transparency (alpha, or a transparent palette entry or color) is handled as `reading` says.

    Raises:
        UserError: an unsupported mode.
    """
    plain = opaque(image, reading)
    if plain.mode == "1":
        plain = plain.convert("L")
    if plain.mode in ("P", "CMYK", "YCbCr", "HSV"):
        plain = plain.convert("RGB")
    values = np.array(plain)
    if plain.mode in ("RGB", "RGBA", "LA"):
        return values.transpose(2, 0, 1)
    if plain.mode == "L":
        return values[None]
    if plain.mode.startswith("I"):
        deep = as_16_bit(values)
        if "transparency" in image.info:
            deep = np.where(deep == image.info["transparency"], np.uint16(reading.level(65535)), deep)
        return deep[None]
    if plain.mode == "F":
        return values.astype(np.float32)[None]
    raise UserError(f"images of mode {image.mode} are not supported: convert to RGB, gray, 16-bit gray or float gray")


def opaque(image: Image.Image, reading: Reading = DEFAULT) -> Image.Image:
    """RGBA → RGB and LA → L over the background, so that colors under alpha 0 leave no trace; or kept as they are.

    Raises:
        UserError: a TIFF's alpha looks like a band of data, and `reading` does not say what it is.
    """
    if image.mode in ("PA", "La", "RGBa"):
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    elif "transparency" in image.info and image.mode in ("P", "L", "RGB", "1"):
        image = image.convert("LA" if image.mode in ("L", "1") else "RGBA")
    if image.mode not in ("RGBA", "LA") or reading.alpha == "keep":
        return image
    if image.format == "TIFF" and reading.alpha == "judge":
        require_transparency(np.asarray(image.getchannel("A")))
    plain = "RGB" if image.mode == "RGBA" else "L"
    base = Image.new(plain, image.size, (reading.background,) * 3 if plain == "RGB" else reading.background)
    base.paste(image.convert(plain), mask=image.getchannel("A"))
    return base


def require_transparency(alpha: NDArray[Any]) -> None:
    """Raise `UserError` if most values of what a TIFF declares as alpha are neither transparent nor opaque.

    GDAL declares the fourth of four 8-bit bands as alpha unless told otherwise, even near infrared.
    """
    between = (alpha > 0) & (alpha < np.iinfo(alpha.dtype).max)
    if between.mean() > 0.5:
        raise UserError(
            "the last band is declared as transparency, but looks like data: `channels=4` (2 for gray) reads it as "
            "a band, `channels=3` (1 for gray) lays the image over the background"
        )


def as_16_bit(values: NDArray[np.generic]) -> NDArray[np.uint16]:
    """16-bit integers, and 32-bit ones that fit into 16 bits, which is what such files hold in practice.

    Raises:
        UserError: values beyond 0..65535.
    """
    if values.min() < 0 or values.max() > 65535:
        raise UserError("32-bit integers outside 0..65535 are not supported: store the image as float or 16 bits")
    return values.astype(np.uint16)

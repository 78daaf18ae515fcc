"""PNG files of 16 bits with color, which Pillow would cut to 8 bits."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unmask.data.decoding.file import File, readable
from unmask.data.decoding.reading import DEFAULT, Reading
from unmask.data.decoding.tiff import over_background
from unmask.errors import UserError


def loses_depth(image: Image.Image) -> bool:
    """Whether Pillow reads an open, not yet loaded PNG with 8 bits though it has 16: color, or gray with alpha."""
    if image.format != "PNG" or image.mode.startswith("I"):
        return False
    return any(";16B" in str(tile[3]) for tile in getattr(image, "tile", ()))


def read_deep_png(path: File, reading: Reading = DEFAULT) -> NDArray[np.generic]:
    """A 16-bit PNG with color as uint16 (3, H, W); alpha, or a transparent color, is laid over the background.

    PIL keeps one byte of each value. Read as big-endian numbers it is the upper byte, as little-endian ones the lower.

    Raises:
        UserError: gray with alpha, of which PIL only gives the upper byte.
    """
    (upper, key), (lower, _) = (_bytes_of_png(path, order) for order in "BL")
    values = np.ascontiguousarray((upper.astype(np.uint16) * 256 + lower).transpose(2, 0, 1))
    if key is not None:
        values[:, (values == np.asarray(key)[:, None, None]).all(0)] = reading.level(65535)
    return over_background(values, reading) if len(values) == 4 and reading.alpha != "keep" else values


def _bytes_of_png(path: File, order: str) -> tuple[NDArray[np.uint8], tuple[int, ...] | None]:
    """One byte of each value, (H, W, C), and the color that stands for transparent, if there is one."""
    with readable(path) as file, Image.open(file, formats=("PNG",)) as image:
        tile = getattr(image, "tile")[0]  # noqa: B009, declared for files only
        mode = str(tile.args).partition(";")[0]
        if mode not in ("RGB", "RGBA"):
            raise UserError(f"16-bit PNG of kind {mode} is not supported: store it without alpha")
        image.tile = [tile._replace(args=f"{mode};16{order}")]
        image.load()
        return np.asarray(image), image.info.get("transparency")

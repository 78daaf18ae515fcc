"""Plain JPEG files by simplejpeg where it is installed: the same bits as PIL's in about 60 % of its time."""

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from PIL import Image


@cache
def simplejpeg() -> ModuleType | None:
    """The package, if it is installed."""
    return import_module("simplejpeg") if find_spec("simplejpeg") else None


def is_plain(image: Image.Image) -> bool:
    """Whether an open image is a JPEG in memory, gray or YCbCr without an Adobe marker, that simplejpeg can read.

    One that is to be decoded at a smaller scale (PIL's draft) is left to PIL: the packages choose other scales.
    """
    in_memory = image.format == "JPEG" and isinstance(getattr(image, "fp", None), BytesIO)
    whole = getattr(image, "decoderconfig", None) in (None, (), (1, 0))
    return in_memory and whole and image.mode in ("RGB", "L") and "adobe" not in image.info and simplejpeg() is not None


def read_jpeg(image: Image.Image) -> NDArray[np.uint8] | None:
    """Pixels as stored, (C, H, W).

    None if the package refuses the file, as it does at any warning of the decoder: PIL then decides, so that the same
    files are read with and without the package.
    """
    package, file = simplejpeg(), getattr(image, "fp", None)
    assert package is not None
    assert isinstance(file, BytesIO)
    try:
        values = package.decode_jpeg(file.getvalue(), "RGB" if image.mode == "RGB" else "GRAY")
    except ValueError:
        return None
    return np.asarray(values.transpose(2, 0, 1))

"""Missing pixels, by a no-data value, a validity mask or NaN in the file: they are NaN in float32."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmask.data.decoding.image_format import TOP, Kind, kind_of
from unmask.errors import UserError

NOT_FINITE = "the image holds values that are not finite"
NO_PIXEL = "no pixel of the image has a value: all are missing (NaN, no-data)"


def where_missing(images: NDArray[Any], nodata: float | None) -> NDArray[np.bool_] | None:
    """Which values of (..., C, H, W) are the no-data value; None if the number type cannot hold it.

    Band by band; in 8-bit color a pixel is missing only if all three are, since one alone may well be 0.
    """
    if nodata is None or not holds(images.dtype, nodata):
        return None
    found = np.asarray(images == images.dtype.type(nodata))
    if images.dtype == np.uint8 and images.shape[-3] == 3:
        found = np.broadcast_to(found.all(-3, keepdims=True), found.shape)
    return found


def joined(*found: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    """What is missing by any of several masks; None if there is no mask."""
    known = [one for one in found if one is not None]
    return np.logical_or.reduce(known) if known else None


def holds(dtype: np.dtype[Any], value: float) -> bool:
    """Whether a number of this type may be the value. NaN is seen from the values themselves."""
    if dtype.kind == "f":
        return bool(np.isfinite(value))
    if dtype.kind not in "iu" or not float(value).is_integer():
        return False
    return bool(np.iinfo(dtype).min <= value <= np.iinfo(dtype).max)


def without(images: NDArray[Any], missing: NDArray[np.bool_] | None) -> NDArray[Any]:
    """Images with NaN at what is missing: float32, in which integers count from 0 to 1; unchanged if it is None.

    Raises:
        UserError: an unsupported number type.
    """
    if missing is None:
        return images
    with np.errstate(over="ignore"):
        floats = images.astype(np.float32) / np.float32(TOP[kind_of(images.dtype)])
    return np.where(missing, np.float32(np.nan), floats)


def without_nodata(images: NDArray[Any], nodata: float | None) -> NDArray[Any]:
    """`without` what is the no-data value."""
    return without(images, where_missing(images, nodata))


def kind_without(dtype: np.dtype[Any], nodata: float | None) -> Kind:
    """The number type of `without_nodata`."""
    kind = kind_of(dtype)
    return "float32" if nodata is not None and holds(dtype, nodata) else kind


def require_pixels(image: NDArray[Any]) -> NDArray[Any]:
    """An image, (C, H, W), of which some values are present and none is infinite.

    Raises:
        UserError: no pixel, infinite, too large for float32, or missing altogether.
    """
    if not image.size:
        raise UserError(f"an image of shape {image.shape} has no pixel")
    if flaw := flaws(image[None])[0]:
        raise UserError(flaw)
    return image


def flaws(images: NDArray[Any]) -> list[str]:
    """Why each of (N, ...) is not an image; "" if it is one."""
    if images.dtype.kind != "f":
        return [""] * len(images)
    with np.errstate(over="ignore"):
        values = images.astype(np.float32, copy=False).reshape(len(images), -1)
    infinite, empty = np.isinf(values).any(1), np.isnan(values).all(1)
    return np.where(infinite, NOT_FINITE, np.where(empty, NO_PIXEL, "")).tolist()

"""Images the right way up: EXIF's orientation, which TIFF shares."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", bound=np.generic)


def upright(values: NDArray[Number], orientation: int) -> NDArray[Number]:
    """(C, H, W) turned and mirrored as an orientation of 1 to 8 says (EXIF 2.32 and TIFF 6.0, tag 0x0112)."""
    if orientation in (5, 6, 7, 8):
        values = values.transpose(0, 2, 1)
    if orientation in (3, 4, 7, 8):
        values = values[:, ::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, :, ::-1]
    return values if orientation in (0, 1) else np.ascontiguousarray(values)

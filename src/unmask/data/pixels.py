"""Where the pixels of an image set come from: a tensor in memory, or files and arrays that are read on demand."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from unmask.data.decoding.decode import decode, named, quiet
from unmask.data.decoding.image_format import ImageFormat, to_format
from unmask.data.decoding.missing import without_nodata
from unmask.data.decoding.pixel_budget import BUDGET
from unmask.data.decoding.reading import Reading
from unmask.data.sources.source import Images
from unmask.errors import UserError


@dataclass(frozen=True)
class CachedPixels:
    """All images decoded once: uint8, uint16 or float32, (N, C, H, W). Subsets share the tensor."""

    cached: ClassVar = True
    """Reading is a copy from memory."""
    values: Tensor
    format: ImageFormat

    def read(self, rows: Tensor) -> tuple[Tensor, list[str]]:
        """See `StreamedPixels.read`. Never fails."""
        return self.format.rescale(self.values[rows].float()), []


@dataclass(frozen=True)
class StreamedPixels:
    """Images decoded on demand. Small to copy into worker processes."""

    cached: ClassVar = False
    images: Images
    reading: Reading
    format: ImageFormat

    def read(self, rows: Tensor) -> tuple[Tensor, list[str]]:
        """Images as float32 (B, C, H, W) in units of the value range, and one message for each that failed.

        Missing pixels are NaN, and so are all pixels of a failed image.
        """
        out = torch.empty(len(rows), *self.format.shape)
        failures = []
        with quiet():
            for i, row in enumerate(rows.tolist()):
                try:
                    out[i] = read_one(self.images, row, self.format, self.reading)
                except UserError as error:
                    out[i] = torch.nan
                    failures.append(str(error))
        return self.format.rescale(out), failures


Pixels = CachedPixels | StreamedPixels
"""Random access to images of one format."""


def read_one(images: Images, row: int, wanted: ImageFormat, reading: Reading) -> Tensor:
    """Image `row` in the format, as stored in the cache, (C, H, W).

    Raises:
        UserError: it cannot be read, or cannot have this format. The message names the file.
    """
    stored = images.stored(row)
    if isinstance(stored, np.ndarray):
        return to_format(without_nodata(stored, reading.nodata), wanted)
    with BUDGET.giving_back():
        array = decode(stored, reading, target=wanted.size)
        with named(stored):
            return to_format(array, wanted)

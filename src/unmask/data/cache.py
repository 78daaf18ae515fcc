"""Decode a whole data set once, in parallel, into one tensor."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from unmask.data.decoding.image_format import ImageFormat, Kind, to_format
from unmask.data.decoding.missing import without_nodata
from unmask.data.pixels import read_one
from unmask.data.sources.source import Arrays, Source
from unmask.data.threads import failures

BYTES: dict[Kind, int] = {"uint8": 1, "uint16": 2, "float32": 4}
DTYPES: dict[Kind, torch.dtype] = {"uint8": torch.uint8, "uint16": torch.uint16, "float32": torch.float32}
CHUNK = 1024
"""Images of an array that are converted per call."""


def stored_bytes(count: int, wanted: ImageFormat) -> int:
    """Memory that `count` images need in the cache."""
    return count * math.prod(wanted.shape) * BYTES[wanted.kind]


def fill_cache(
    source: Source,
    wanted: ImageFormat,
    *,
    progress: bool,
    rows: Tensor | None = None,
    after: Callable[[int], None] | None = None,
) -> tuple[Tensor, dict[int, str]]:
    """Decode images into a format, all or those of `rows`; values stay as stored.

    `after` is called with the row of each image that was decoded from a file.

    Returns:
        Values (n, C, H, W), and a message for each position that could not be read, which stays zero.
    """
    images = source.images
    if isinstance(images, Arrays):
        return _convert_arrays(images, wanted, rows, source.reading.nodata), {}
    at = range(len(images)) if rows is None else rows.tolist()
    values = torch.zeros((len(at), *wanted.shape), dtype=DTYPES[wanted.kind])

    def read(position: int) -> None:
        values[position] = read_one(images, at[position], wanted, source.reading)
        if after is not None:
            after(at[position])

    return values, failures(read, len(values), threads=images.threads, bar="decoding" if progress else None)


def _convert_arrays(images: Arrays, wanted: ImageFormat, rows: Tensor | None, nodata: float | None) -> Tensor:
    at = np.arange(len(images.values)) if rows is None else rows.numpy()
    pieces = (images.values[at[i : i + CHUNK]] for i in range(0, len(at), CHUNK))
    return torch.cat([to_format(without_nodata(piece, nodata), wanted) for piece in pieces])

"""BMP files as Microsoft's description of the format has them, read without the package and without a library.

imagecodecs, the other program that reads them, ends the process on some altered headers, and refuses counts of bytes
and of colors that many writers get wrong and no other program reads.
"""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LONG = (40, 52, 56, 64, 108, 124)
"""Bytes of headers whose first 40 mean the same."""


def read_bmp(content: bytes) -> NDArray[Any]:
    """The pixels of an uncompressed BMP, (H, W, 3). Raises ValueError or struct.error for what is none."""
    start, header, width, height = struct.unpack_from("<IIii", content, 10)
    bits, compression = struct.unpack_from("<HI", content, 28)
    (colors,) = struct.unpack_from("<I", content, 46)
    if content[:2] != b"BM" or header not in _LONG or compression or min(width, abs(height)) < 1:
        raise ValueError
    palette_at, known = 14 + header, (colors or 2**bits) if bits <= 8 else 0
    if start < palette_at + 4 * known:
        raise ValueError
    row = -(-width * bits // 32) * 4
    # The bytes that fill up the last row may be missing.
    rows = np.frombuffer(content + bytes(3), np.uint8, row * abs(height), start).reshape(abs(height), row)
    values = (
        _colors(rows, bits, width) if bits > 8 else _palette(content, palette_at, known)[_indices(rows, bits, width)]
    )
    return values[::-1] if height > 0 else values


def _colors(rows: NDArray[np.uint8], bits: int, width: int) -> NDArray[Any]:
    if bits == 16:
        shifts = np.array([10, 5, 0])
        return np.rint(((rows.view("<u2")[:, :width, None] >> shifts) & 31) * (255 / 31)).astype(np.uint8)
    each = {24: 3, 32: 4}[bits]
    return rows[:, : each * width].reshape(len(rows), width, each)[:, :, 2::-1]


def _indices(rows: NDArray[np.uint8], bits: int, width: int) -> NDArray[Any]:
    if bits not in (1, 4, 8):
        raise ValueError
    each = np.unpackbits(rows, axis=1).reshape(len(rows), -1, bits)
    return np.packbits(each, axis=2)[:, :width, 0] >> (8 - bits)


def _palette(content: bytes, at: int, known: int) -> NDArray[np.uint8]:
    """256 colors, black where none is told."""
    found = np.frombuffer(content, np.uint8, 4 * min(known, 256), at).reshape(-1, 4)[:, 2::-1]
    return np.concatenate([found, np.zeros((256 - len(found), 3), np.uint8)])

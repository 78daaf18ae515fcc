"""Check that the strips of a TIFF hold the image that its tags declare; Pillow and libtiff do not check.

A strip of deflate also ends in a checksum, which libtiff verifies only if it happens to get there.
"""

import zlib
from dataclasses import dataclass
from math import prod
from typing import Any

from PIL import Image

from unmask.data.decoding.file import File
from unmask.data.decoding.tiff_tags import BITS, COMPRESSION, HEIGHT, SAMPLES, WIDTH
from unmask.errors import UserError

_NONE, _DEFLATE = 1, (8, 32946)
_OFFSETS, _LENGTHS, _ROWS = 273, 279, 278
_TILE_OFFSETS, _TILE_LENGTHS, _TILE_SIZE = 324, 325, (322, 323)
_PIECE = 2**20


@dataclass(frozen=True)
class _Strips:
    """Strips, or tiles, of a page whose samples are not planar."""

    offsets: tuple[int, ...]
    lengths: tuple[int, ...]
    sizes: tuple[frozenset[int], ...]
    """Bytes that each may hold: those of the remaining rows, or of as many rows as the others have."""


def require_strips(image: Image.Image, path: File) -> None:
    """Raise `UserError` unless the strips of the current page of an open TIFF hold exactly the whole image.

    Without compression they may be longer; libtiff checks compressions other than deflate.
    """
    tags: Any = image.tag_v2  # type: ignore[attr-defined]
    compression = tags[COMPRESSION]
    if compression not in (_NONE, *_DEFLATE):
        return
    strips = _strips_of(tags)
    if len(strips.offsets) != len(strips.sizes) or len(strips.lengths) != len(strips.sizes):
        raise UserError(f"damaged TIFF ({len(strips.offsets)} strips instead of {len(strips.sizes)})")
    with path.open("rb") as file:
        for offset, length, sizes in zip(strips.offsets, strips.lengths, strips.sizes, strict=True):
            if compression == _NONE:
                if length < min(sizes):
                    raise UserError(f"damaged TIFF (a strip of {length} bytes, where the image has {min(sizes)})")
                continue
            file.seek(offset)
            found = _inflated(file.read(length))
            if found not in sizes:
                raise UserError(f"damaged TIFF (a strip of {found} bytes, where the image has {min(sizes)})")


def _strips_of(tags: Any) -> _Strips:
    width, height = int(tags[WIDTH]), int(tags[HEIGHT])
    stored = tags.get(BITS, (1,))
    bits = sum(stored) if len(stored) > 1 else stored[0] * tags.get(SAMPLES, 1)
    if _TILE_OFFSETS in tags:
        across, down = (int(tags[tag]) for tag in _TILE_SIZE)
        count = -(-width // max(across, 1)) * -(-height // max(down, 1))
        size = frozenset([down * -(-across * bits // 8)])
        return _Strips(tuple(tags[_TILE_OFFSETS]), tuple(tags[_TILE_LENGTHS]), (size,) * count)
    row, rows = -(-width * bits // 8), max(1, min(int(tags.get(_ROWS, height)), height))
    counts = [min(rows, height - first) for first in range(0, height, rows)]
    sizes = tuple(frozenset([row * count, row * rows]) for count in counts)
    return _Strips(tuple(tags.get(_OFFSETS, ())), tuple(tags.get(_LENGTHS, ())), sizes)


def _inflated(content: bytes) -> int:
    """Bytes that a strip of deflate holds. Raises `UserError` if it ends before its checksum."""
    stream, count = zlib.decompressobj(), 0
    while content and not stream.eof:
        count += len(stream.decompress(content, _PIECE))
        content = stream.unconsumed_tail
    if not stream.eof:
        raise UserError("damaged TIFF (a strip is cut off before its checksum)")
    return count


def require_segments(page: Any) -> None:
    """Raise `UserError` unless a tifffile page has all of its strips or tiles, within the file.

    Missing ones would read as zeros; for one longer than the file tifffile would allocate as much memory.
    """
    count, end = prod(page.chunked), page.parent.filehandle.size
    if (there := min(len(page.dataoffsets), len(page.databytecounts))) < count:
        raise UserError(f"damaged TIFF ({there} strips instead of {count})")
    for offset, length in zip(page.dataoffsets, page.databytecounts, strict=False):
        if offset + length > end:
            raise UserError(f"damaged TIFF (a strip of {length} bytes from byte {offset}, the file has {end})")

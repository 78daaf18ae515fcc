"""Check that PNG files are whole: Pillow checks no checksum of pixels and accepts a missing end."""

import struct
import zlib
from collections.abc import Iterator

from unmask.errors import UserError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_INDEXED = b"\3"
"""The color type of palettes."""
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Of a pixel, by color type."""
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column and row of each pass, and steps to the next ones."""
_PIECE = 2**20
_FRAME = struct.Struct(">I4s")


def require_whole_png(content: bytes) -> None:
    """Raise `UserError` unless every chunk up to the closing one is there, with the right checksum.

    Harmless bytes may follow.
    """
    at, kind, view = len(_SIGNATURE), b"", memoryview(content)
    needs_palette = content[25:26] == _INDEXED
    while kind != b"IEND":
        if at + 12 > len(content):
            raise UserError("image file is truncated (no end chunk)")
        length, kind = _FRAME.unpack_from(content, at)
        if kind == b"PLTE" and length % 3:
            raise UserError(f"damaged PNG: a palette of {length} bytes, three per color")
        if kind == b"IDAT" and needs_palette:
            raise UserError("damaged PNG: its palette is missing")
        needs_palette = needs_palette and kind != b"PLTE"
        end = at + 8 + length
        if content[end : end + 4] != struct.pack(">I", zlib.crc32(view[at + 4 : end])):
            raise UserError(f"damaged PNG: the checksum of chunk {kind!r} at byte {at} is wrong")
        at = end + 4


def require_all_rows(content: bytes) -> None:
    """Raise `UserError` unless a PNG whose chunks are whole has as many pixels as its header declares.

    Pillow leaves missing rows at zero.
    """
    width, height, bits, color, _, _, interlaced = struct.unpack(">IIBBBBB", content[16:29])
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    sizes = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in passes]
    wanted = sum(
        down * (1 + -(-across * bits * _SAMPLES.get(color, 1) // 8)) for across, down in sizes if across > 0 < down
    )
    stream, found = zlib.decompressobj(), 0
    for piece in _pixels(content):
        while piece and not stream.eof and found < wanted:
            found += len(stream.decompress(piece, _PIECE))
            piece = stream.unconsumed_tail
    if found < wanted:
        raise UserError("image file is truncated (rows are missing)")


def _pixels(content: bytes) -> Iterator[bytes]:
    at, kind = len(_SIGNATURE), b""
    while kind != b"IEND":
        length, kind = _FRAME.unpack_from(content, at)
        if kind == b"IDAT":
            yield content[at + 8 : at + 8 + length]
        at += 12 + length

"""BMP files whose pixels begin after their header: Pillow reads them, and the palette, wherever the file says."""

import struct

from unmask.errors import UserError

_CORE, _COMMON = 12, 40
"""Bytes of the oldest header, whose colors take three bytes each, and of the one that most programs write."""
_MASKS = 3
"""The compression with three color masks, which follow the common header and are part of longer ones."""


def require_order(head: bytes) -> None:
    """Raise `UserError` unless the pixels of a BMP, whose first 50 bytes `head` is, follow its header and palette."""
    pixels, header = struct.unpack_from("<II", head, 10)
    if header == _CORE:
        (bits,), compression, colors, each = struct.unpack_from("<H", head, 24), 0, 0, 3
    else:
        bits, compression = struct.unpack_from("<HI", head, 28)
        (colors,), each = struct.unpack_from("<I", head, 46), 4
    end = 14 + header + (12 if (header, compression) == (_COMMON, _MASKS) else 0)
    if bits <= 8:
        end += each * (colors or 2**bits)
    if pixels < end:
        raise UserError(f"damaged BMP: its pixels begin at byte {pixels}, within the header, which ends at {end}")

"""GIF files whose blocks follow one another: Pillow skips what lies between, and misreads what follows."""

from unmask.errors import UserError

_EXTENSION, _IMAGE, _END = b"!", b",", b";"


def require_blocks(content: bytes) -> None:
    """Raise `UserError` unless a GIF is a sequence of blocks up to its end; the end marker may be missing."""
    at, images = 13 + _colors(content[10:11]), 0
    while at < len(content) and (kind := content[at : at + 1]) != _END:
        if kind == _IMAGE:
            at, images = at + 11 + _colors(content[at + 9 : at + 10]), images + 1
        elif kind == _EXTENSION:
            at += 2
        else:
            raise UserError(f"damaged GIF: no block begins at byte {at}")
        while at < len(content) and content[at]:
            at += 1 + content[at]
        at += 1
    if at > len(content) or not images:
        raise UserError("image file is truncated (within a block)")


def _colors(flags: bytes) -> int:
    """Bytes of the color table that the flags declare."""
    value = flags[0] if flags else 0
    return 3 * 2 ** (1 + (value & 7)) if value & 0x80 else 0

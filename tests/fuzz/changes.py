"""Small changes to the bytes of a file, and to JSON text."""

import json
import re
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from record_values import altered

Alter = Callable[[st.DrawFn, bytes], bytes]
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"(\s*:)?|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null')
"""A key of JSON, with its colon, or a value that is no list and no object."""
ODD = (
    *(b"-1", b"0", b"2", b"0.5", b"-0.5", b"1e308", b"1e400", b"NaN", b"true", b"null", b"1.0", b"99999999999"),
    *(b"9" * 400, b"9" * 5000, b'""', b'"x"', b'"\\ud800"', b'"\\u0000"', b'"a\\u001b[31m"', b"[]", b"{}", b"[[1]]"),
    *(b"[" * n + b"]" * n for n in (150, 900, 5000)),
)


def _place(draw: st.DrawFn, content: bytes) -> int:
    """Often within the header."""
    near = draw(st.sampled_from([64, 512, len(content)]))
    return draw(st.integers(0, max(0, min(near, len(content)) - 1)))


def flipped(draw: st.DrawFn, content: bytes) -> bytes:
    """One to four bits."""
    out = bytearray(content)
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 4]))):
        out[_place(draw, content)] ^= 1 << draw(st.integers(0, 7))
    return bytes(out)


def overwritten(draw: st.DrawFn, content: bytes) -> bytes:
    """A few bytes."""
    at, piece = _place(draw, content), draw(st.binary(min_size=1, max_size=8))
    return content[:at] + piece + content[at + len(piece) :]


def inserted(draw: st.DrawFn, content: bytes) -> bytes:
    """A few bytes more, at a place or at the end."""
    at = draw(st.sampled_from([_place(draw, content), len(content)]))
    return content[:at] + draw(st.binary(min_size=1, max_size=8)) + content[at:]


def cut(draw: st.DrawFn, content: bytes) -> bytes:
    """Cut off, now and then by a few bytes alone."""
    return content[: draw(st.integers(0, len(content) - 1) | st.integers(max(0, len(content) - 16), len(content) - 1))]


def removed(draw: st.DrawFn, content: bytes) -> bytes:
    """A few bytes gone."""
    at = _place(draw, content)
    return content[:at] + content[at + draw(st.integers(1, 16)) :]


def zeroed(draw: st.DrawFn, content: bytes) -> bytes:
    """A tail, or a piece, of zeros."""
    at = _place(draw, content)
    end = draw(st.sampled_from([len(content), min(len(content), at + 32)]))
    return content[:at] + bytes(end - at) + content[end:]


BYTES: tuple[Alter, ...] = (flipped, flipped, overwritten, inserted, cut, removed, zeroed)


@st.composite
def patched(draw: st.DrawFn, content: bytes) -> bytes:
    """A file with one damage."""
    return draw(st.sampled_from(BYTES))(draw, content)


def one_of(contents: list[bytes]) -> st.SearchStrategy[bytes]:
    """Damage to one of several files."""
    return st.sampled_from(contents).flatmap(patched)


def _scalar(draw: st.DrawFn, content: bytes) -> bytes:
    """Another value in place of one."""
    found = draw(st.sampled_from([one for one in TOKEN.finditer(content) if not one[1]]))
    return content[: found.start()] + draw(st.sampled_from(ODD)) + content[found.end() :]


def _doubled(draw: st.DrawFn, content: bytes) -> bytes:
    """A key twice, first with another value."""
    found = draw(st.sampled_from([one for one in TOKEN.finditer(content) if one[1]]))
    return content[: found.start()] + found.group() + b" 0.25, " + content[found.start() :]


def _structure(draw: st.DrawFn, content: bytes) -> bytes:
    """A field dropped, added or replaced."""
    return json.dumps(draw(altered(json.loads(content)))).encode()


def _encoded(draw: st.DrawFn, content: bytes) -> bytes:
    """In another encoding."""
    return content.decode().encode(draw(st.sampled_from(["utf-16", "utf-8-sig", "utf-32"])))


@st.composite
def altered_json(draw: st.DrawFn, content: bytes) -> bytes:
    """JSON text with one change."""
    ways: list[Alter] = [_scalar, _scalar, _scalar, _structure, _structure, _doubled, _encoded, *BYTES]
    return draw(st.sampled_from(ways))(draw, content)


class DoubledError(ValueError):
    """An object has a key twice."""


def strict_json(content: bytes) -> Any:
    """JSON as it stands there. Raises ValueError where it is none, or an object has a key twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) < len(pairs):
            raise DoubledError
        return dict(pairs)

    return json.loads(content.decode("utf-8"), object_pairs_hook=unique)

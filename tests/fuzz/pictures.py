"""Image files with damage.

What is silent damage depends on the format:
- PNG: every chunk has a checksum. Where one is wrong, other pixels than the original's are wrong. Where all are right,
  libpng (imagecodecs) is the judge: it minds the checksum of the pixels unless their stream goes on after the last row.
- TIFF with deflate: the pixels have a checksum; the rest has none.
- JPEG, WebP, GIF, BMP and other TIFF have none: a changed file may be another image. Another program is the judge
  (imagecodecs; tifffile of TIFF; of BMP a reader in fuzz/bmp.py): pixels that differ from the original's are wrong
  where it refuses the file, or reads other pixels.

Pixels of the original are always right: the damage was harmless, or is in what is not read. The header must agree.
"""

import io
import struct
import tempfile
import zlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from fuzz.bmp import read_bmp
from fuzz.changes import patched
from fuzz.judge import Kind
from unmask.data.decoding.decode import decode
from unmask.data.headers import read_header

HEIGHT, WIDTH = 18, 24
Pixels = NDArray[Any]
PNG = b"\x89PNG\r\n\x1a\n"


@cache
def pixels(seed: int = 0) -> Pixels:
    """(H, W, 3), smooth with a little noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    smooth = np.stack([9 * x, 12 * y, 5 * (x + y)], -1) + rng.integers(0, 9, (HEIGHT, WIDTH, 3))
    return smooth.astype(np.uint8)


@cache
def encoded(form: str, seed: int = 0) -> bytes:
    """A valid file: a suffix, for TIFF with its compression."""
    out, values = io.BytesIO(), pixels(seed)
    suffix, _, how = form.partition(" ")
    if how == "deep":
        tifffile.imwrite(out, values.astype(np.uint16) * 257, photometric="rgb", compression="zlib")
    elif how == "bands":
        planes = values.transpose(2, 0, 1)
        tifffile.imwrite(out, planes, photometric="minisblack", planarconfig="separate", compression="zlib")
    elif how == "gray":
        Image.fromarray(values[..., 0]).save(out, Image.registered_extensions()[suffix])
    elif how == "16 bits":
        Image.fromarray(values[..., 0].astype(np.uint16) * 257).save(out, "PNG")
    elif how == "palette":
        Image.fromarray(values).quantize(32).save(out, Image.registered_extensions()[suffix])
    elif how == "alpha":
        alpha = np.dstack([values, values[..., :1]])
        Image.fromarray(alpha).save(out, Image.registered_extensions()[suffix])
    else:
        more: dict[str, Any] = {"compression": how} if suffix == ".tiff" else {"lossless": True} if how else {}
        Image.fromarray(values).save(out, Image.registered_extensions()[suffix], **more)
    return out.getvalue()


def chunks(content: bytes) -> list[tuple[bytes, bytes, bool]]:
    """Chunks of a PNG: kind, content, whether the checksum is right. Raises ValueError where it is cut off."""
    if not content.startswith(PNG):
        raise ValueError
    at, found = len(PNG), []
    while not found or found[-1][0] != b"IEND":
        if at + 12 > len(content):
            raise ValueError
        (length,) = struct.unpack(">I", content[at : at + 4])
        kind, data, crc = (
            content[at + 4 : at + 8],
            content[at + 8 : at + 8 + length],
            content[at + 8 + length : at + 12 + length],
        )
        found.append((kind, data, crc == struct.pack(">I", zlib.crc32(kind + data))))
        at += 12 + length
    return found


@st.composite
def png_chunks(draw: st.DrawFn, content: bytes) -> bytes:
    """A PNG with a damaged chunk whose checksum is right."""
    found = chunks(content)
    at = draw(st.integers(0, len(found) - 1))
    out = PNG
    for index, (kind, data, _) in enumerate(found):
        if index == at:
            kind = draw(st.sampled_from([kind, kind, kind, b"IDAT", b"PLTE", b"tRNS", b"gAMA", b"acTL"]))
            data = draw(patched(data)) if data else draw(st.binary(max_size=9))
        out += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return out


@st.composite
def tiff_tags(draw: st.DrawFn, content: bytes) -> bytes:
    """A TIFF (little-endian) with another value of a tag."""
    (at,) = struct.unpack("<I", content[4:8])
    (count,) = struct.unpack("<H", content[at : at + 2])
    place = at + 2 + 12 * draw(st.integers(0, count - 1))
    field, form = draw(st.sampled_from([(0, "<H"), (2, "<H"), (4, "<I"), (8, "<I"), (8, "<H")]))
    value = draw(
        st.sampled_from([0, 1, 2, 3, 4, 5, 8, 16, 32, 255, 256, 277, 65535, 2**31, 2**32 - 1])
    ) % 256 ** struct.calcsize(form)
    return content[: place + field] + struct.pack(form, value) + content[place + field + struct.calcsize(form) :]


def _strict_png(content: bytes) -> Pixels | None:
    try:
        return np.asarray(imagecodecs.png_decode(content)) if all(good for _, _, good in chunks(content)) else None
    except Exception:
        return None


def _by(decoder: Callable[[bytes], Any], content: bytes) -> Pixels | None:
    try:
        return np.asarray(decoder(content))
    except Exception:
        return None


def _tifffile(content: bytes) -> Any:
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page = file.pages[0].aspage()
        values = page.asarray()
        if "PhotometricInterpretation" not in page.tags or len(page.dataoffsets) < np.prod(page.chunked):
            raise ValueError
        values = values.astype(np.uint8) * 255 if values.dtype == bool else values
        values = values.transpose(1, 2, 0) if page.axes == "SYX" else values
        return np.iinfo(values.dtype).max - values if page.photometric == 0 and values.dtype.kind == "u" else values


def _gif(content: bytes) -> Any:
    found = np.asarray(imagecodecs.gif_decode(content))
    return found[0] if found.ndim == 4 else found


JUDGES: dict[str, Callable[[bytes], Pixels | None]] = {
    ".png": _strict_png,
    ".jpg": partial(_by, imagecodecs.jpeg8_decode),
    ".webp": partial(_by, imagecodecs.webp_decode),
    ".gif": partial(_by, _gif),
    ".bmp": partial(_by, read_bmp),
    ".tiff": partial(_by, _tifffile),
}


def _first(values: Pixels) -> Pixels:
    """(H, W, C) or (H, W), with as many channels as the package gives: gray or RGB, over white."""
    values = values[..., None] if values.ndim == 2 else values
    if values.shape[-1] in (2, 4) and values.dtype == np.uint8:
        alpha = values[..., -1:] / 255
        return np.asarray(np.rint(values[..., :-1] * alpha + 255 * (1 - alpha)).astype(np.uint8))
    return values


def _close(found: Pixels, wanted: Pixels) -> bool:
    """Whether pixels are the same but for rounding, gray given as RGB or not."""
    one, two = found.transpose(1, 2, 0), _first(wanted)
    if one.shape[:2] != two.shape[:2] or one.shape[2] not in (two.shape[2], 1, 3) or two.shape[2] > 4:
        return False
    return bool(np.abs(one.astype(np.float64) - two.astype(np.float64)).max() <= 2)


def image_says(form: str, value: Any, content: bytes) -> bool:
    """Whether pixels are the original's, or what another program makes of the file; and the header agrees."""
    found, header = value
    if (header.channels, *header.size, header.kind) != (*found.shape, found.dtype.name):
        return False
    original = _original(form)
    if found.shape == original.shape and found.dtype == original.dtype and np.array_equal(found, original):
        return True
    suffix = form.partition(" ")[0]
    judged = JUDGES[suffix](content)
    if suffix == ".gif" and judged is not None:  # programs differ in what they draw around the image
        found, judged = found[:, :HEIGHT, :WIDTH], judged[:HEIGHT, :WIDTH]
    return judged is not None and _close(found, judged)


@cache
def _original(form: str) -> Pixels:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / f"x{form.partition(' ')[0]}"
        path.write_bytes(encoded(form))
        return decode(path)


def _read(path: Path) -> Any:
    """Pixels and header."""
    return decode(path), read_header(path)


def _contents(form: str) -> st.SearchStrategy[bytes]:
    content = encoded(form)
    if form.startswith(".png"):
        return patched(content) | png_chunks(content)
    return patched(content) | tiff_tags(content) if form.startswith(".tiff") else patched(content)


def _kind(form: str) -> Kind:
    return Kind(
        f"image {form}",
        f"x{form.partition(' ')[0]}",
        partial(_contents, form),
        _read,
        partial(image_says, form),
        words=lambda path: ("data", "check", str(path.parent)),
    )


FORMS = (
    ".png",
    ".png palette",
    ".png alpha",
    ".png 16 bits",
    ".png gray",
    ".jpg",
    ".jpg gray",
    ".webp",
    ".webp lossless",
)
FORMS += (
    ".webp alpha",
    ".gif",
    ".bmp",
    ".bmp gray",
    ".tiff raw",
    ".tiff tiff_adobe_deflate",
    ".tiff tiff_lzw",
    ".tiff deep",
    ".tiff bands",
)
IMAGES = tuple(map(_kind, FORMS))

"""Arrays of images (.npy, .npz)."""

import io
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from fuzz.changes import patched
from fuzz.judge import Kind
from unmask.data.decoding.decode import decode
from unmask.data.headers import read_header
from unmask.data.sources.arrays import read_arrays

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8), dtype=np.uint8)


def npy(values: NDArray[Any]) -> bytes:
    """An array as a .npy file."""
    out = io.BytesIO()
    np.save(out, values)
    return out.getvalue()


@st.composite
def npy_files(draw: st.DrawFn, values: NDArray[Any]) -> bytes:
    """A damaged array, or one whose header says something else."""
    content = npy(values.astype(draw(st.sampled_from(["u1", "u2", ">u2", "f4", "i2", "f2", "?", "c8"]))))
    if draw(st.booleans()):
        return draw(patched(content))
    start = 10
    head, body = content[start:128], content[128:]
    replaced = {
        b"'descr': '": b"'descr': '"
        + draw(st.sampled_from([b"|O", b"<f8", b"<i1", b"|V1", b"<U1", b"<M8[s]", b"|b1"]))
        + b"', 'x",
        b"False": draw(st.sampled_from([b"True", b"None", b"7"])),
        b"(6, ": draw(
            st.sampled_from(
                [b"(-6, ", b"(0, ", b"(1, ", b"(3, ", b"(" + b"9" * 18 + b", ", b"(6., ", b"(True, ", b"('a', "]
            )
        ),
        b"8)": draw(st.sampled_from([b"8, 1)", b"4)", b"8" * 4400 + b")", b"8]", b"8, None)"])),
    }
    old = draw(st.sampled_from(sorted(replaced)))
    head = head.replace(old, replaced[old], 1)
    version, size = draw(st.sampled_from([(1, 2), (1, 2), (1, 2), (2, 4), (3, 4), (9, 2)]))
    length = draw(st.sampled_from([len(head), len(head), len(head), 0, 65535, 2**16 - 1]))
    return b"\x93NUMPY" + bytes([version, 0]) + length.to_bytes(size, "little") + head + body


def same_array(value: NDArray[Any], content: bytes, shape: tuple[int, ...] | None = None) -> bool:
    """Whether images are the bits that NumPy reads from a file of just this length; true is white."""
    stream = io.BytesIO(content)
    try:
        wanted = np.load(stream, allow_pickle=False)
    except Exception:
        return False
    if wanted.dtype == np.bool_ and value.dtype == np.uint8:
        wanted = np.where(wanted, 255, 0)
    return stream.tell() == len(content) and value.size == wanted.size and _same_values(value, wanted)


def _same_values(value: NDArray[Any], wanted: NDArray[Any]) -> bool:
    one, two = np.sort(value.astype(np.float64), axis=None), np.sort(wanted.astype(np.float64), axis=None)
    return np.array_equal(one, two, equal_nan=True)


def _images(path: Path) -> Any:
    source = read_arrays(path, labels=False)
    return source.images.values, source  # type: ignore[attr-defined]


@st.composite
def npz_files(draw: st.DrawFn) -> bytes:
    """An archive with an odd member, or damaged."""
    label = draw(
        st.sampled_from(
            [np.arange(6), np.array([*"abcabc"]), np.array([0.5] * 6), np.eye(6), np.array(["\ud800"] * 6)]
            + [np.array(["7" * 5000] * 6), np.arange(5), np.array([b"\xff"] * 6), np.array([None] * 6), np.array(3)]
            + [np.array([1j] * 6), np.array(["2020"] * 6, "M8[s]"), np.full(6, 0x7FFFFFFF, "<u4").view("<U1")]
            + [np.array([np.nan, np.inf, -1, 0, 1, 2]), np.zeros(6, [("a", "i4")]), np.full(6, 1e300)]
        )
    )
    members = {"images": npy(IMAGES), "labels": npy(label)}
    extra = draw(st.sampled_from([{}, {"groups": npy(label)}, {"split": npy(np.array(["train"] * 6))}, {"x": b"bomb"}]))
    out = io.BytesIO()
    form = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(out, "w", form) as archive:
        for name, content in (members | extra).items():
            if name == "images" and draw(st.integers(0, 3)) == 0:
                content = draw(npy_files(IMAGES))
            archive.writestr(f"{name}.npy", content)
            if draw(st.integers(0, 9)) == 0:
                archive.writestr(f"{name}.npy", content)
    return draw(patched(out.getvalue())) if draw(st.booleans()) else out.getvalue()


def npz_says(value: Any, content: bytes) -> bool:
    """Whether images are those of the archive, whose checksums are right, and so are plain labels."""
    images, source = value
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if archive.testzip() is not None or len(set(archive.namelist())) < len(archive.namelist()):
                return False
            pixels = archive.read("images.npy")
            labels = np.load(io.BytesIO(archive.read("labels.npy"))) if "labels.npy" in archive.namelist() else None
    except Exception:
        return False
    if labels is not None and labels.dtype.kind == "i" and labels.shape == (len(images),):
        names = [int(source.classes[code]) if code >= 0 else -1 for code in source.labels.tolist()]
        if names != labels.tolist():
            return False
    return same_array(images, pixels)


def _check(path: Path) -> tuple[str, ...]:
    return ("data", "check", str(path))


ARRAYS = (
    Kind(
        ".npy of images",
        "images.npy",
        lambda: npy_files(IMAGES),
        _images,
        lambda value, content: same_array(value[0], content),
        words=_check,
    ),
    Kind(
        ".npy of one image",
        "one.npy",
        lambda: npy_files(IMAGES[:, :, :3]),
        lambda path: (decode(path), read_header(path)),
        lambda value, content: same_array(value[0], content) and value[1].channels == len(value[0]),
    ),
    Kind(".npz", "images.npz", npz_files, _images, npz_says, words=_check),
)

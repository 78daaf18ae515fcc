"""Tables of images (CSV, TSV, parquet) and arrays (.npy, .npz)."""

import csv
import io
import math
import re
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st
from numpy.typing import NDArray

from fuzz.changes import patched
from fuzz.judge import Kind
from fuzz.records import is_text
from unmask.data.decoding.decode import decode
from unmask.data.headers import read_header
from unmask.data.sources.arrays import read_arrays
from unmask.data.sources.manifest import Table, read_manifest, read_table
from unmask.evaluate.labels import UNKNOWN
from unmask.wording import printable

MISSING = ("", "nan", "na", "n/a", "null", "none")
READ = ("path", "label", "group", "split")
CELLS = st.sampled_from(
    [
        "a",
        "b",
        " a ",
        "",
        "-1",
        "ü",
        "u\u0308",
        "\x00",
        "\x1b[31m",
        'say "a"',
        "a,b",
        "a;b",
        "a\tb",
        "a\nb",
        "a\r\nb",
        "7" * 5000,
    ]
    + ["1.0", "1e400", "nan", "x" * 300, "/" * 300, "..\\a", "train", "val", "test", "\u202e", "NULL", "\ufeff"]
)
HEADS = st.sampled_from(
    [("path", "label")] * 3
    + [
        ("path", "label", "group", "split"),
        ("path",),
        ("label",),
        ("path", "path", "label"),
        ("path", "label", "label"),
    ]
    + [
        ("Path", "LABEL"),
        ("path", "label", "fold"),
        ("path ", " label"),
        ("\ufeffpath", "label"),
        ("path", "label", ""),
    ]
)
ENCODINGS = ("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252")
Columns = dict[str, list[str]]


@st.composite
def rows(draw: st.DrawFn) -> tuple[Sequence[str], list[list[str]]]:
    """A header, and rows with mostly ordinary cells."""
    head = draw(HEADS)
    table = []
    for index in range(draw(st.integers(0, 5))):
        usual = [{"path": f"i{index}.png", "label": "ab"[index % 2]}.get(name.strip().lower(), "") for name in head]
        odd = draw(st.lists(st.tuples(st.integers(0, len(head) - 1), CELLS), max_size=1))
        for at, cell in odd:
            usual[at] = cell
        table.append(usual)
    return head, table


@st.composite
def csv_files(draw: st.DrawFn, delimiters: str = ",;\t") -> bytes:
    """A table as text, oddly quoted and encoded, or damaged."""
    head, table = draw(rows())
    out = io.StringIO()
    writer = csv.writer(
        out,
        delimiter=draw(st.sampled_from(delimiters)),
        quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
        lineterminator=draw(st.sampled_from(["\n", "\r\n", "\r"])),
    )
    writer.writerows([head, *table])
    content = out.getvalue().encode(draw(st.sampled_from(ENCODINGS)), "replace")
    change = draw(st.sampled_from(["none", "none", "damaged", "damaged", "quote", "surrogate", "row"]))
    at = draw(st.integers(0, len(content)))
    if change == "damaged" and content:
        return draw(patched(content))
    more = {"quote": b'"', "surrogate": b"\xed\xa0\x80", "row": b"\n,,,,,\n"}.get(change, b"")
    return content[:at] + more + content[at:]


def text_columns(content: bytes) -> Columns | None:
    """The columns of a table as text, read strictly; None for what is no table."""
    try:
        text = content.decode("utf-8-sig", "surrogateescape")
        best = max(",;\t", key=text.split("\n", 1)[0].count)
        found = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=best, strict=True) if row]
    except csv.Error:
        return None
    names = [" ".join(name.lower().split()) for name in found[0]] if found else []
    if any(len(row) != len(names) for row in found) or any(names.count(name) > 1 for name in READ):
        return None
    columns = {name: [row[i].strip() for row in found[1:]] for i, name in enumerate(names) if name in READ}
    return columns if all(is_text(cell) for cells in columns.values() for cell in cells) else None


def table_says(value: Any, content: bytes, columns: Callable[[bytes], Columns | None] = text_columns) -> bool:
    """Whether a source lists the paths of the table with its labels."""
    table, source = value
    wanted = columns(content)
    if wanted is None or _read(table) != wanted:
        return False
    texts = wanted.get("label", [""] * len(wanted["path"]))
    if source.task is not None and source.task.name == "regression":
        return _are_numbers(source.labels, texts)
    if source.task is not None and source.task.name == "multilabel":
        return _are_sets(source.labels, source.task.names, texts)
    labels = ["" if code < 0 else source.classes[code] for code in source.labels.tolist()]
    plain = all(text.isascii() and text.isprintable() for text in texts)
    return len(source.names) == len(wanted["path"]) and (
        not plain or labels == ["" if text in ("", "-1", "-1.0") else printable(text) for text in texts]
    )


def _read(table: Table) -> Columns:
    """The columns that were read, by their names."""
    columns = {"path": table.path, **table.labels, "group": table.group, "split": table.split}
    return {name: column for name, column in columns.items() if column is not None}


def _are_numbers(values: NDArray[Any], texts: list[str]) -> bool:
    """Whether the numbers are those of the texts; without a number where a text says that there is none."""
    wanted = [[math.nan if text.lower() in MISSING else float(text)] for text in texts]
    return np.array_equal(values, np.array(wanted).reshape(-1, 1), equal_nan=True)


def _are_sets(values: NDArray[Any], names: Sequence[str], texts: list[str]) -> bool:
    """Whether the labels of each image are the parts of its text, and none is known where the text is empty."""
    for row, text in zip(values, texts, strict=True):
        parts = {printable(part.strip()) for part in re.split("[;|]", text)} - {""}
        wanted = [UNKNOWN] * len(names) if text.lower() in MISSING else [name in parts for name in names]
        if row.tolist() != wanted:
            return False
    return True


def _manifest(path: Path) -> Any:
    return read_table(path), read_manifest(path, labels=False)


@st.composite
def parquet_files(draw: st.DrawFn) -> bytes:
    """A table whose columns are of some type, perhaps doubled, perhaps damaged."""
    head, table = draw(rows())
    names = [name.encode("utf-8", "replace").decode() for name in head]
    columns = [pa.array([row[i] for row in table], pa.string()) for i in range(len(head))]
    kinds = ["none", "number", "float", "bytes", "dictionary", "list", "time", "bad text", "null", "decimal", "bool"]
    kind, at = draw(st.sampled_from(kinds)), draw(st.integers(0, len(columns) - 1))
    number = len(table)
    odd = {
        "number": pa.array(range(number), pa.int64()),
        "float": pa.array([[1.0, float("nan"), 1e300, 2.5, float("inf")][i % 5] for i in range(number)]),
        "bytes": pa.array([b"\xff\x00"] * number, pa.binary()),
        "dictionary": pa.array(["a"] * number, pa.string()).dictionary_encode(),
        "list": pa.array([["a"]] * number, pa.list_(pa.string())),
        "time": pa.array([2**62] * number, pa.timestamp("s")),
        "bad text": pa.Array.from_buffers(
            pa.string(),
            number,
            [None, pa.py_buffer(np.arange(number + 1, dtype=np.int32).tobytes()), pa.py_buffer(b"\xff" * number)],
        ),
        "null": pa.nulls(number),
        "decimal": pa.array([10] * number, pa.decimal128(5, 0)),
        "bool": pa.array([True] * number),
    }
    columns[at] = odd.get(kind, columns[at])
    out = io.BytesIO()
    checked = draw(st.booleans())
    try:
        pq.write_table(pa.Table.from_arrays(columns, names=names), out, write_page_checksum=checked)
    except (pa.ArrowException, OSError):  # the library does not write every type
        return b""
    return draw(patched(out.getvalue())) if draw(st.booleans()) else out.getvalue()


def parquet_columns(content: bytes) -> Columns | None:
    """The columns of a parquet file as text."""
    try:
        table = pq.read_table(io.BytesIO(content), page_checksum_verification=True)
        names = [name.lower() for name in table.column_names]
        if any(names.count(name) > 1 for name in READ):
            return None
        return {
            name: [_text(value) for value in table.column(at).to_pylist()]
            for at, name in enumerate(names)
            if name in READ
        }
    except Exception:
        return None


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return "" if value is None else str(value)


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
    """Whether images are the bits that NumPy reads from a file of just this length."""
    stream = io.BytesIO(content)
    try:
        wanted = np.load(stream, allow_pickle=False)
    except Exception:
        return False
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


TABLES = (
    Kind("manifest .csv", "list.csv", csv_files, _manifest, table_says, words=_check),
    Kind("manifest .tsv", "list.tsv", lambda: csv_files("\t"), _manifest, table_says, words=_check),
    Kind(
        "manifest .parquet",
        "list.parquet",
        parquet_files,
        _manifest,
        lambda value, content: table_says(value, content, parquet_columns),
        words=_check,
    ),
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

"""Tables of images (CSV, TSV, parquet) and arrays (.npy, .npz)."""

import csv
import io
import math
import re
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
    return len(source.names) == len(wanted["path"]) and (not plain or labels == [_class_of(text) for text in texts])


def _class_of(text: str) -> str:
    """The class that a text names, "" if none: a whole number with zeros behind its point is that number."""
    head, point, tail = text.partition(".")
    digits = head.removeprefix("-")
    number = bool(point) and not tail.strip("0") and digits.isdigit() and (digits == "0" or digits[0] != "0")
    name = ("0" if head == "-0" else head) if number else printable(text)
    return "" if name.lower() in ("", "-1", "nan") else name


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
        parts = {part.strip() for part in re.split("[;|]", text)} - {""}
        known = {_class_of(part) for part in parts} - {""}
        nothing = text.lower() in MISSING or bool(parts and not known)
        wanted = [UNKNOWN] * len(names) if nothing else [name in known for name in names]
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
        names = [" ".join(name.lower().split()) for name in table.column_names]
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
)

"""A table of images: CSV or parquet with the columns path and, as far as wanted, label, group and split."""

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from unmask.data.decoding.decode import named
from unmask.data.file_names import in_line, natural_key
from unmask.data.sources.source import SPLIT_NAMES, Files, Source, split_array
from unmask.data.string_table import Texts
from unmask.errors import UserError
from unmask.wording import plural, printable

NO_LABEL = frozenset({"", "-1", "-1.0"})
"""Texts of a label that stand for none, in every source."""
COLUMNS = ("path", "label", "group", "split")
MOST_ROWS = 10_000_000
"""Rows of a parquet file: a few kilobytes of it may stand for any number of rows, and each takes memory here."""
_NO_UTF_8 = re.compile(r"[\udc80-\udcff]")


@dataclass(frozen=True)
class Table:
    """Columns of text, all of one length; a missing column is None. Missing values are ""."""

    path: list[str]
    label: list[str] | None
    group: list[str] | None
    split: list[str] | None
    ignored: tuple[str, ...] = ()
    """Names of further columns."""


def read_manifest(file: Path, *, labels: bool) -> Source:
    """A manifest as a source.

    Paths are relative to the manifest's folder, or absolute. An empty label is an unlabeled image, an empty group a
    group of its own, an empty split one that is to be drawn. Columns of other names are ignored.

    Args:
        file: .csv, .tsv or .parquet.
        labels: whether class labels are needed.

    Raises:
        UserError: no such file, not UTF-8, no column `path`, no labels where they are needed, an unknown split, a file
            listed twice, or a group in two splits. The message names column, line or group.
    """
    table = read_table(file)
    table = replace(table, path=[found_path(file.parent, path) for path in table.path])
    if not table.path:
        raise UserError(f"{file}: the manifest lists no image")
    if labels and (table.label is None or len(set(table.label) - NO_LABEL) < 2):
        found = "no column label" if table.label is None else f"the labels {sorted(set(table.label))}"
        raise UserError(f"{file}: labels of two or more classes are needed, found {found}")
    _require_distinct(file, table.path)
    classes, codes = encode_labels(table.label or [""] * len(table.path))
    splits = _splits(file, table.split or [""] * len(table.path))
    groups = None if table.group is None else encode_groups(table.group)
    require_whole_groups(str(file), groups, splits, table.group or [])
    return Source(
        names=Texts.of(printable(Path(path)) for path in table.path),
        labels=codes,
        classes=classes,
        splits=splits,
        images=Files(file.parent, Texts.of(table.path)),
        groups=groups,
        notes=(*(unlabeled_note(codes) if classes else ()), *_ignored_note(table.ignored)),
    )


def found_path(folder: Path, path: str) -> str:
    """A path as the file is called: with slashes for backslashes, or its accents in the other form."""
    if ("\\" not in path and path.isascii()) or (folder / path).exists():
        return path
    slashed = path.replace("\\", "/")
    forms = [slashed, *(normalize(form, slashed) for form in ("NFC", "NFD"))]
    return next((form for form in forms if (folder / form).exists()), path)


def read_table(file: Path) -> Table:
    """The columns of a CSV (comma, semicolon or tab), TSV or parquet file as text."""
    columns = _read_parquet(file) if file.suffix.lower() == ".parquet" else _read_csv(file)
    if "path" not in columns:
        raise UserError(f"{file}: no column path; found {', '.join(columns) or 'nothing'}, wanted {', '.join(COLUMNS)}")
    ignored = tuple(printable(name) for name in columns if name not in COLUMNS)
    return Table(columns["path"], columns.get("label"), columns.get("group"), columns.get("split"), ignored)


def _read_csv(file: Path) -> dict[str, list[str]]:
    with named(file):
        text = file.read_text(encoding="utf-8-sig", errors="surrogateescape")
        delimiter = max(",;\t", key=text.partition("\n")[0].count)
        rows = [row for row in csv.reader(StringIO(text, newline=""), delimiter=delimiter) if row]
    names = [" ".join(name.lower().split()) for name in rows[0]] if rows else []
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(names):
            raise UserError(f"{file}: row {number} has {len(row)} fields, the header {len(names)}")
        _require_utf_8(file, number, dict(zip(names, row, strict=True)))
    return {name: [row[i].strip() for row in rows[1:]] for i, name in enumerate(names)}


def _require_utf_8(file: Path, number: int, row: dict[str, str]) -> None:
    """Raise `UserError` where a cell that is read is no UTF-8; the path of a file that has such a name may be."""
    for name in COLUMNS:
        cell = row.get(name, "")
        if _NO_UTF_8.search(cell) and not (name == "path" and (file.parent / cell.strip()).exists()):
            raise UserError(f"{file}: row {number}: {in_line(cell)} is not UTF-8: save the table as UTF-8")


def _read_parquet(file: Path) -> dict[str, list[str]]:
    import pyarrow.parquet as parquet

    with named(file):
        opened = parquet.ParquetFile(file)
        rows, names = opened.metadata.num_rows, opened.schema_arrow.names
        if rows > MOST_ROWS:
            raise UserError(f"lists {rows:,} images, more than {MOST_ROWS:,}: use a part of it, or tar shards")
        wanted = [name for name in names if name.lower() in COLUMNS]
        table = opened.read(columns=wanted)
    others = {name: list[str]() for name in names if name not in wanted}
    return {name.lower(): [text_of(v) for v in table[name].to_pylist()] for name in wanted} | others


def text_of(value: object) -> str:
    """A label, group or path as text: a whole number the same whether stored as integer or float; "" for none, NaN."""
    if isinstance(value, float) and (math.isnan(value) or value.is_integer()):
        return "" if math.isnan(value) else str(int(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return "" if value is None else str(value)


def _ignored_note(ignored: Sequence[str]) -> tuple[str, ...]:
    named = ", ".join(ignored[:5]) + (" ..." if len(ignored) > 5 else "")
    return (f"the manifest's {plural(len(ignored), 'further column')} ({named}) are not read",) if ignored else ()


def one_class(codes: NDArray[np.int64]) -> str:
    """What to say where labels are there but tell nothing apart; "" where there are none."""
    count = int((codes >= 0).sum())
    return f"all {count} labels are of one class" if count else ""


def encode_labels(labels: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Class names in natural order, as text that can be printed, and the index of each label; -1 for "" and "-1".

    Letters with accents are the same composed and decomposed (as macOS and Linux write them).
    """
    names = {label: "" if label in NO_LABEL else printable(normalize("NFC", label)) for label in set(labels)}
    classes = tuple(sorted(set(names.values()) - {""}, key=natural_key))
    index = {name: i for i, name in enumerate(classes)} | {"": -1}
    codes = {label: index[name] for label, name in names.items()}
    return classes, np.asarray([codes[label] for label in labels], np.int64)


def encode_groups(groups: Sequence[str]) -> NDArray[np.int64]:
    """A number for each group; images with no group ("") get one of their own."""
    index: dict[str, int] = {}
    keys = (group or f"\0{i}" for i, group in enumerate(groups))
    return np.asarray([index.setdefault(key, len(index)) for key in keys], np.int64)


def require_whole_groups(
    where: str, groups: NDArray[np.int64] | None, splits: NDArray[np.str_], names: Sequence[str]
) -> None:
    """Raise `UserError` where the given splits tear a group apart."""
    if groups is None:
        return
    home: dict[int, str] = {}
    for i, (group, split) in enumerate(zip(groups.tolist(), splits.tolist(), strict=True)):
        if home.setdefault(group, split) != split:
            pair = " and ".join(sorted({home[group] or "no split", split or "no split"}))
            raise UserError(f"{where}: group {in_line(names[i])} is in {pair}: images of one group must share a split")


def _splits(file: Path, splits: Sequence[str]) -> NDArray[np.str_]:
    for i, split in enumerate(splits):
        if split.lower() not in SPLIT_NAMES:
            raise UserError(f"{file}: split {split!r} of image {i + 1} is not one of train, val, test, unlabeled")
    return split_array([SPLIT_NAMES[split.lower()] for split in splits])


def _require_distinct(file: Path, paths: Sequence[str]) -> None:
    if len(set(paths)) < len(paths):
        seen: set[str] = set()
        twice = next(path for path in paths if path in seen or seen.add(path))  # type: ignore[func-returns-value]
        raise UserError(f"{file}: {in_line(twice)} is listed twice")


def unlabeled_note(codes: NDArray[np.int64]) -> tuple[str, ...]:
    """How many images of a source with classes have no label."""
    count = int((codes < 0).sum())
    return (f"{count} images without a label are seen by pretraining only",) if count else ()

"""A table of images: CSV or parquet with the columns path and optionally label or mask, group and split."""

import csv
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path, PurePath
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from unmask.config.metric import TaskName, label_form
from unmask.data.decoding.decode import named
from unmask.data.file_names import in_line
from unmask.data.sources.hidden_splits import hidden_splits
from unmask.data.sources.labels import read_labels
from unmask.data.sources.manifest_texts import encode_groups
from unmask.data.sources.mask_classes import find_classes
from unmask.data.sources.source import SPLIT_NAMES, UNASSIGNED, Files, Masks, Source, mask_rows, split_array
from unmask.data.string_table import Texts
from unmask.errors import UserError
from unmask.wording import plural, printable

SUFFIXES = (".csv", ".tsv", ".parquet")
COLUMNS = ("path", "label", "mask", "group", "split")
MOST_ROWS = 10_000_000
"""Most rows of a parquet file: a few kilobytes of it may stand for any number of rows, and each takes memory here."""
_NO_UTF_8 = re.compile(r"[\udc80-\udcff]")


_LABEL = re.compile(r"(labels?|targets?)([ _.:-].*)?")
"""Names of columns that are taken for labels if there is no column label and none is named."""


@dataclass(frozen=True)
class Table:
    """Columns of text, all of one length; a missing column is None. Missing values are ""."""

    path: list[str]
    labels: dict[str, list[str]]
    """Columns of labels by their names; empty without any."""
    masks: list[str] | None
    """Paths of masks; None if no masks are to be learned."""
    group: list[str] | None
    split: list[str] | None
    ignored: tuple[str, ...] = ()
    """Names of the other columns."""


def read_manifest(file: Path, *, labels: bool, label_field: str | None = None, task: TaskName | None = None) -> Source:
    """A manifest as a source.

    Paths are relative to the manifest's folder, or absolute. An empty label or mask means an unlabeled image, an empty
    group a separate group, an empty split one that is to be drawn. Other columns are ignored. classes.csv or
    classes.json beside the manifest names the classes of masks.

    Args:
        file: .csv, .tsv or .parquet.
        label_field: the columns of labels, separated by commas. Default: label, else those whose names begin with
            label or target. For a segmentation the column of masks, by default mask.
        task: what is to be learned. Default: what the labels show, or a segmentation if there is a column mask.

    Raises:
        UserError: no such file, not UTF-8, no column `path`, no labels although they are needed, an unknown split, a
            file listed twice, or a group in two splits. The message names column, line or group.
    """
    table = read_table(file, label_field, task)
    table = replace(table, path=[found_path(file.parent, path) for path in table.path])
    if not table.path:
        raise UserError(f"{file}: the manifest lists no image")
    _require_distinct(file, table.path)
    found = read_labels(table.labels or {"label": [""] * len(table.path)}, task, str(file), needed=labels)
    masks = None if table.masks is None else _masks(file, table.masks)
    if labels and masks is None and not found.can_be_learned:
        seen = (
            "no column label"
            if not table.labels
            else f"the labels {[] if found.task is None else list(found.task.names)}"
        )
        raise UserError(f"{file}: labels of two or more classes are needed, found {seen}")
    splits = _splits(file, table.split or [""] * len(table.path))
    groups = None if table.group is None else encode_groups(table.group)
    require_whole_groups(str(file), groups, splits, table.group or [])
    return Source(
        names=Texts.of(printable(Path(path)) for path in table.path),
        labels=found.values,
        task=found.task,
        splits=splits,
        images=Files(file.parent, Texts.of(table.path)),
        groups=groups,
        masks=masks,
        notes=(
            *found.all_notes(),
            *(masks.notes if masks is not None else ()),
            *_drawn_note(table.path, splits),
            *_ignored_note(table.ignored),
        ),
    )


def _masks(file: Path, paths: Sequence[str]) -> Masks | None:
    """The masks of a column of paths, "" if an image has none; None without any."""
    has = np.asarray([bool(path) for path in paths])
    if not has.any():
        return None
    files = Files(file.parent, Texts.of(found_path(file.parent, path) for path in paths if path))
    return Masks(files, mask_rows(has), find_classes(file.parent))


def found_path(folder: Path, path: str) -> str:
    """A path as the file is named: with slashes for backslashes, or its accents in the other form."""
    if ("\\" not in path and path.isascii()) or _exists(folder / path):
        return path
    slashed = path.replace("\\", "/")
    forms = [slashed, *(normalize(form, slashed) for form in ("NFC", "NFD"))]
    return next((form for form in forms if _exists(folder / form)), path)


def _exists(path: Path) -> bool:
    """Whether such a file exists; False for a name that no file can have, such as one that is too long."""
    try:
        return path.exists()
    except OSError:
        return False


def read_table(file: Path, label_field: str | None = None, task: TaskName | None = None) -> Table:
    """The columns of a CSV (comma, semicolon or tab), TSV or parquet file as text."""
    columns = _columns(file, label_field)
    if "path" not in columns:
        raise UserError(
            f"{file}: no column path; found {', '.join(columns) or 'nothing'}, expected {', '.join(COLUMNS)}"
        )
    mask = _mask_column(file, columns, label_field, task)
    named = [] if mask is not None else _label_columns(file, columns, label_field)
    ignored = tuple(printable(name) for name in columns if name not in {"path", "group", "split", mask, *named})
    labels, masks = {name: columns[name] for name in named}, None if mask is None else columns[mask]
    return Table(columns["path"], labels, masks, columns.get("group"), columns.get("split"), ignored)


def columns_there(file: Path, label_field: str | None) -> str | None:
    """Those of the columns named by `label_field` that a table has, separated by commas; None without any."""
    columns = _columns(file, label_field)
    return ",".join(name for name in _asked_names(label_field or "") if name in columns) or None


def _columns(file: Path, label_field: str | None) -> dict[str, list[str]]:
    """All columns by name; of a parquet file only those are read that may be meant, the others are empty."""
    return _read_parquet(file, label_field) if file.suffix.lower() == ".parquet" else _read_csv(file, label_field)


def _mask_column(
    file: Path, columns: Mapping[str, Sequence[str]], asked: str | None, task: TaskName | None
) -> str | None:
    """The column of masks; None if labels are to be learned, or there are no masks."""
    if label_form(task) == "mask":
        names = [name for name in columns if name == "mask"] if asked is None else _label_columns(file, columns, asked)
        if names[1:]:
            raise UserError(f"label_field = {asked!r}: mask paths need a single column")
        return names[0] if names else None
    if task is not None or "mask" not in columns:
        return None
    if asked is None and (labels := _label_columns(file, columns, None)):
        raise UserError(
            f"{file}: has the columns mask and {in_line(labels[0])}: say with `task` which to learn, segmentation or "
            "the labels' task"
        )
    return "mask" if asked is None or _asked_names(asked) == ["mask"] else None


def _asked_names(asked: str) -> list[str]:
    """The columns that `label_field` names, as headers are read."""
    return [" ".join(name.lower().split()) for name in asked.split(",")]


def _label_columns(file: Path, columns: Mapping[str, Sequence[str]], asked: str | None) -> list[str]:
    """The columns of labels: the requested ones, or label, or those whose names begin with label or target."""
    if asked is not None:
        names = _asked_names(asked)
        if lacking := [name for name in names if name not in columns]:
            raise UserError(f"label_field = {asked!r}: {file} has no column {lacking[0]}; it has {', '.join(columns)}")
        return names
    return ["label"] if "label" in columns else [name for name in columns if _LABEL.fullmatch(name)]


def _read_csv(file: Path, label_field: str | None) -> dict[str, list[str]]:
    with named(file):
        text = file.read_bytes().decode("utf-8-sig", "surrogateescape")
        delimiter = max(",;\t", key=text.partition("\n")[0].count)
        rows = [row for row in csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True) if row]
        names = [" ".join(name.lower().split()) for name in rows[0]] if rows else []
        _require_once(names, label_field)
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(names):
            raise UserError(f"{file}: row {number} has {len(row)} fields, the header {len(names)}")
        _require_utf_8(file, number, dict(zip(names, row, strict=True)))
    return {name: [row[i].strip() for row in rows[1:]] for i, name in enumerate(names)}


def _require_utf_8(file: Path, number: int, row: dict[str, str]) -> None:
    """Raise `UserError` if a cell that is read is not UTF-8, unless it is the path of a file with such a name."""
    for name in COLUMNS:
        cell = row.get(name, "")
        if _NO_UTF_8.search(cell) and not (name == "path" and _exists(file.parent / cell.strip())):
            raise UserError(f"{file}: row {number}: {in_line(cell)} is not UTF-8: save the table as UTF-8")


def _read_parquet(file: Path, label_field: str | None) -> dict[str, list[str]]:
    import pyarrow.parquet as parquet

    with named(file):
        opened = parquet.ParquetFile(file, page_checksum_verification=True)
        rows, stored = opened.metadata.num_rows, opened.schema_arrow.names
        if rows > MOST_ROWS:
            raise UserError(f"lists {rows:,} images, more than {MOST_ROWS:,}: use a part of it, or tar shards")
        clean = {name: " ".join(name.lower().split()) for name in stored}
        asked = () if label_field is None else _asked_names(label_field)
        wanted = [name for name in stored if clean[name] in {*COLUMNS, *asked} or _LABEL.fullmatch(clean[name])]
        _require_once([clean[name] for name in stored], label_field)
        table = opened.read(columns=wanted)
        columns = {clean[name]: [text_of(value) for value in table[name].to_pylist()] for name in wanted}
    return columns | {name: list[str]() for name in stored if name not in wanted}


def _require_once(names: Sequence[str], label_field: str | None) -> None:
    """Raise `UserError` if a column that is or may be read is there twice: one would silently replace the other."""
    asked = () if label_field is None else _asked_names(label_field)
    for name, times in Counter(names).items():
        if times > 1 and (name in {*COLUMNS, *asked} or _LABEL.fullmatch(name)):
            raise UserError(f"{times} columns are called {name}: keep one")


def text_of(value: object) -> str:
    """A label, group or path as text: a whole number the same whether stored as integer or float; "" for none, NaN."""
    if isinstance(value, float) and (math.isnan(value) or value.is_integer()):
        return "" if math.isnan(value) else str(int(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return "" if value is None else str(value)


def _drawn_note(paths: Sequence[str], splits: NDArray[np.str_]) -> tuple[str, ...]:
    """A note if images whose split is to be drawn lie in folders that look like splits."""
    drawn = (PurePath(path) for path, split in zip(paths, splits.tolist(), strict=True) if split == UNASSIGNED)
    found = hidden_splits(drawn)
    if found is None:
        return ()
    folders = f"{printable(found.training)} and {printable(found.held_out)}"
    return (f"images in the folders {folders} have no split in the manifest's column split: it is drawn",)


def _ignored_note(ignored: Sequence[str]) -> tuple[str, ...]:
    named = ", ".join(ignored[:5]) + (" ..." if len(ignored) > 5 else "")
    return (f"the manifest's {plural(len(ignored), 'further column')} ({named}) are not read",) if ignored else ()


def require_whole_groups(
    where: str, groups: NDArray[np.int64] | None, splits: NDArray[np.str_], names: Sequence[str]
) -> None:
    """Raise `UserError` if the given splits divide a group."""
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
    """Raise `UserError` if a file is listed twice, also as `a.png` and `./a.png`."""
    plain = [str(PurePath(path)) if "./" in path or "//" in path else path for path in paths]
    if len(set(plain)) < len(plain):
        seen: set[str] = set()
        twice = next(path for path in plain if path in seen or seen.add(path))  # type: ignore[func-returns-value]
        raise UserError(f"{file}: {in_line(twice)} is listed twice")

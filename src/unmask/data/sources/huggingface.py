"""Data sets of the package `datasets`: saved with `save_to_disk`, or by their name on the hub."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmask.data.decoding.file import Encoded, File
from unmask.data.file_names import one_line
from unmask.data.sources.manifest import unlabeled_note
from unmask.data.sources.manifest_texts import encode_labels
from unmask.data.sources.samples import Fields
from unmask.data.sources.source import SPLIT_NAMES, UNASSIGNED, UNLABELED, Source, held_out_name, place_in, split_array
from unmask.data.string_table import Texts
from unmask.data.threads import THREADS
from unmask.errors import UserError

PREFIX = "hf:"
LABEL_COLUMNS = ("label", "labels")
"""Columns of numbers or text that are taken for the label where no column is of the kind ClassLabel."""


@dataclass(frozen=True)
class Column:
    """The images of a column of one or several tables, which stay on disk."""

    tables: tuple[Any, ...]
    """`datasets.Dataset` of this one column, not decoded."""
    ends: NDArray[np.int64]
    """Rows of the tables up to and with each."""
    rows: NDArray[np.int64]
    """Which rows of the tables, one after the other."""
    column: str
    names: Sequence[str]
    """Of all rows of the tables."""
    threads: int = THREADS

    def __len__(self) -> int:
        return len(self.rows)

    def stored(self, row: int) -> File:
        """The image as it is in the table, or the path that is there."""
        at = int(self.rows[row])
        table, local = place_in(self.ends, at)
        value = self.tables[table][local][self.column] or {}
        if value.get("bytes") is None and value.get("path"):
            return Path(value["path"])
        return Encoded(self.names[at], value.get("bytes") or b"")

    def take(self, rows: NDArray[np.int64]) -> "Column":
        """See `Images.take`."""
        return replace(self, rows=self.rows[rows])


def read_huggingface(name: str, *, labels: bool, fields: Fields) -> Source:
    """A data set of the package `datasets` as a source. A DatasetDict's parts are splits by their names.

    Args:
        name: a folder written by `save_to_disk`; else a name on the hub, which is downloaded.
        labels: whether class labels are needed.
        fields: the columns that hold image and label, where they are named.

    Raises:
        UserError: the package is missing, nothing can be loaded, or which columns are meant is not clear.
    """
    package = _package()
    parts = _load(package, name)
    first = next(iter(parts.values())).features
    column = _image_column(name, first, package, fields.image)
    label = _label_column(name, first, package, fields.label)
    texts = [text for part in parts.values() for text in _labels(name, part, label)]
    classes, codes = encode_labels(texts)
    if len(classes) < 2:
        if labels:
            found = f"column {label} holds {len(classes)}" if label else f"found the columns {', '.join(first)}"
            raise UserError(
                f"hf:{name}: labels of two or more classes are needed, {found}: name one with `label_field`"
            )
        classes, codes = (), codes * 0 - 1
    counts = [len(part) for part in parts.values()]
    names = Texts.of(f"{part or Path(name).name}[{i}]" for part, n in zip(parts, counts, strict=True) for i in range(n))
    images = Column(
        tables=tuple(_only(package, name, part, column) for part in parts.values()),
        ends=np.cumsum(counts),
        rows=np.arange(sum(counts)),
        column=column,
        names=names,
    )
    splits = split_array([SPLIT_NAMES.get(part.lower(), UNLABELED) if part else UNASSIGNED for part in parts])
    notes = (*_notes(parts), *(unlabeled_note(codes) if classes else ()))
    return Source(
        names=names, labels=codes, classes=classes, splits=np.repeat(splits, counts), images=images, notes=notes
    )


def _package() -> Any:
    try:
        return import_module("datasets")
    except ImportError:
        raise UserError("data: hf: needs the package datasets: pip install 'unmask[hf]'") from None


def _load(package: Any, name: str) -> dict[str, Any]:
    """The parts by name; "" for the one of a data set without parts."""
    if Path(name).is_file() or name.endswith(".py"):
        raise UserError(f"hf:{name}: is a file, and loading scripts are not run: give a folder written by save_to_disk")
    try:
        found = package.load_from_disk(name) if Path(name).is_dir() else package.load_dataset(name)
    except Exception as error:  # of many types: no such name, no network, a damaged table, a script that is refused
        fix = "a folder must be written by save_to_disk" if Path(name).is_dir() else "no such folder, nor on the hub"
        raise UserError(f"hf:{name}: {fix} ({one_line(error)})") from None
    parts = dict(found) if isinstance(found, dict) else {"": found}
    full = {part: table for part, table in parts.items() if len(table)}
    if not full:
        raise UserError(f"hf:{name}: the data set is empty")
    return full


def _image_column(name: str, features: Any, package: Any, wanted: str | None) -> str:
    found = [column for column, kind in features.items() if isinstance(kind, package.Image)]
    if wanted is not None:
        found = [column for column in found if column == wanted]
    if len(found) != 1:
        columns = ", ".join(f"{column} ({type(kind).__name__})" for column, kind in features.items())
        raise UserError(
            f"hf:{name}: one column of the kind Image is needed, name it with `image_field`; found {columns}"
        )
    return found[0]


def _label_column(name: str, features: Any, package: Any, wanted: str | None) -> str | None:
    if wanted is not None:
        if wanted not in features:
            raise UserError(f"label_field = {wanted!r}: hf:{name} has the columns {', '.join(features)}")
        return wanted
    of_kind = [column for column, kind in features.items() if isinstance(kind, package.ClassLabel)]
    found = of_kind or [column for column in LABEL_COLUMNS if column in features]
    if len(found) > 1:
        raise UserError(f"hf:{name}: several columns hold labels ({', '.join(found)}): name one with `label_field`")
    return found[0] if found else None


def _labels(name: str, part: Any, column: str | None) -> list[str]:
    """A text per row, "" for none and for -1; equal ones are one string."""
    if column is None or column not in part.features:
        return [""] * len(part)
    values = part.select_columns([column]).with_format("arrow")[:].column(column).to_pylist()
    names = getattr(part.features[column], "names", None)
    words: dict[Any, str] = {None: "", -1: ""}
    if odd := [value for value in values if not isinstance(value, int | str | None)]:
        raise UserError(f"hf:{name}: column {column} holds {odd[0]!r}, which is no label: name one with `label_field`")
    for value in set(values) - {None, -1}:
        words[value] = names[value] if names else str(value)
    return [words[value] for value in values]


def _only(package: Any, name: str, part: Any, column: str) -> Any:
    if column not in part.features:
        raise UserError(f"hf:{name}: not all parts have the column {column}")
    return part.select_columns([column]).cast_column(column, package.Image(decode=False))


def _notes(parts: dict[str, Any]) -> tuple[str, ...]:
    others = [part for part in parts if part and part.lower() not in SPLIT_NAMES]
    for part in others:
        if meant := held_out_name(part):
            raise UserError(
                f"hf: the part {part} looks held out, but is not called as a split: rename it to {meant}, or to "
                "unlabeled if pretraining may see it"
            )
    return (f"the parts {', '.join(others)} are no splits: seen by pretraining only",) if others else ()

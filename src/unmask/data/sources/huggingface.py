"""Data sets of the package `datasets`: saved with `save_to_disk`, or named on the hub."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmask.config.metric import TaskName
from unmask.data.decoding.file import Encoded, File
from unmask.data.file_names import one_line
from unmask.data.sources.label_values import label_columns
from unmask.data.sources.labels import Labels, not_read, read_labels
from unmask.data.sources.samples import Fields
from unmask.data.sources.source import SPLIT_NAMES, UNASSIGNED, UNLABELED, Source, held_out_name, place_in, split_array
from unmask.data.string_table import Texts
from unmask.data.threads import THREADS
from unmask.errors import UserError

PREFIX = "hf:"
LABEL_COLUMNS = ("label", "labels")
"""Columns of numbers or text that are taken for the label if no column is of the kind ClassLabel."""


@dataclass(frozen=True)
class Column:
    """The images of a column of one or several tables, which stay on disk."""

    tables: tuple[Any, ...]
    """`datasets.Dataset` of this one column, not decoded."""
    ends: NDArray[np.int64]
    """Rows of the tables up to and including each."""
    rows: NDArray[np.int64]
    """Which rows of the tables, one after the other."""
    column: str
    names: Sequence[str]
    """Of all rows of the tables."""
    threads: int = THREADS

    def __len__(self) -> int:
        return len(self.rows)

    def stored(self, row: int) -> File:
        """The image as stored in the table, or its path."""
        at = int(self.rows[row])
        table, local = place_in(self.ends, at)
        value = self.tables[table][local][self.column] or {}
        if value.get("bytes") is None and value.get("path"):
            return Path(value["path"])
        return Encoded(self.names[at], value.get("bytes") or b"")

    def take(self, rows: NDArray[np.int64]) -> "Column":
        """See `Images.take`."""
        return replace(self, rows=self.rows[rows])


def read_huggingface(name: str, *, labels: bool, fields: Fields, task: TaskName | None = None) -> Source:
    """A data set of the package `datasets` as a source. A DatasetDict's parts are splits by their names.

    Args:
        name: a folder written by `save_to_disk`; else a name on the hub, which is downloaded.
        fields: the columns that hold image and label, if given; several label columns are separated by commas.
        task: what is to be learned. Default: what the labels show.

    Raises:
        UserError: the package is missing, nothing can be loaded, or it is not clear which columns are meant.
    """
    package = _package()
    parts = _load(package, name)
    first = next(iter(parts.values())).features
    column = _image_column(name, first, package, fields.image)
    label = _label_columns(name, first, package, fields.label)
    learned = _learned(name, parts, label, task, needed=labels)
    if labels and not learned.can_be_learned:
        count = 0 if learned.task is None else len(learned.task.names)
        found = f"column {label[0]} holds {count}" if label else f"found the columns {', '.join(first)}"
        raise UserError(f"hf:{name}: labels of two or more classes are needed, {found}: name one with `label_field`")
    learned = learned.unless_too_few()
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
    return Source(
        names=names,
        labels=learned.values,
        task=learned.task,
        splits=np.repeat(splits, counts),
        images=images,
        notes=(*_notes(parts), *learned.all_notes()),
    )


def fields_there(name: str, wanted: Fields) -> Fields:
    """Those of the wanted columns that a data set has; raises `UserError` if it cannot be loaded."""
    package = _package()
    features = next(iter(_load(package, name).values())).features
    image = wanted.image if isinstance(features.get(wanted.image), package.Image) else None
    label = [column for column in _asked_names(wanted.label or "", features) if column in features]
    return Fields(image, ",".join(label) or None)


def _asked_names(wanted: str, features: Any) -> list[str]:
    """The columns that `label_field` names: one, or several separated by commas."""
    return [wanted] if wanted in features else [one.strip() for one in wanted.split(",")]


def _learned(
    name: str, parts: dict[str, Any], columns: Sequence[str], task: TaskName | None, *, needed: bool
) -> Labels:
    """The labels of all parts, part by part."""
    where, found = f"hf:{name}", dict[str, list[str]]()
    try:
        for column in columns:
            values = [value for part in parts.values() for value in _labels(part, column)]
            read = label_columns(values, f"{where}: column {column}", asked=task)
            own = list(read.values())
            found |= {column: own[0]} if len(own) == 1 else {f"{column} {at + 1}": one for at, one in enumerate(own)}
    except UserError as error:
        if needed:
            raise
        return not_read(sum(map(len, parts.values())), error)
    empty = {"label": [""] * sum(map(len, parts.values()))}
    coded = all(hasattr(_kind_of(part, column), "names") for part in parts.values() for column in columns)
    return read_labels(found or empty, task, where, needed=needed, codes="all" if coded else "contiguous")


def _kind_of(part: Any, column: str) -> Any:
    """The kind of a column's values; for a column of lists, that of their elements."""
    kind = part.features.get(column)
    return getattr(kind, "feature", kind)


def _package() -> Any:
    try:
        return import_module("datasets")
    except ImportError:
        raise UserError("data: hf: needs the package datasets: pip install 'unmask[hf]'") from None


def _load(package: Any, name: str) -> dict[str, Any]:
    """The parts by name; "" for a data set without parts."""
    if Path(name).is_file() or name.endswith(".py"):
        raise UserError(f"hf:{name}: is a file, and loading scripts are not run: give a folder written by save_to_disk")
    try:
        found = package.load_from_disk(name) if Path(name).is_dir() else package.load_dataset(name)
    except Exception as error:  # many types: no such name, no network, a damaged table, a refused script
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


def _label_columns(name: str, features: Any, package: Any, wanted: str | None) -> list[str]:
    if wanted is not None:
        asked = _asked_names(wanted, features)
        if not set(asked) <= set(features):
            raise UserError(f"label_field = {wanted!r}: hf:{name} has the columns {', '.join(features)}")
        return asked
    of_kind = [column for column, kind in features.items() if isinstance(kind, package.ClassLabel)]
    found = of_kind or [column for column in LABEL_COLUMNS if column in features]
    if len(found) > 1:
        raise UserError(f"hf:{name}: several columns hold labels ({', '.join(found)}): name one with `label_field`")
    return found


def _labels(part: Any, column: str) -> list[Any]:
    """A label per row; a class by its name, "" for none and for the class -1."""
    if column not in part.features:
        return [""] * len(part)
    values = part.select_columns([column]).with_format("arrow")[:].column(column).to_pylist()
    names = getattr(_kind_of(part, column), "names", None)
    if names is None:
        return ["" if value is None else value for value in values]
    words: dict[Any, str] = {None: "", -1: ""} | dict(enumerate(names))
    return [[words[one] for one in value] if isinstance(value, list) else words[value] for value in values]


def _only(package: Any, name: str, part: Any, column: str) -> Any:
    if column not in part.features:
        raise UserError(f"hf:{name}: not all parts have the column {column}")
    return part.select_columns([column]).cast_column(column, package.Image(decode=False))


def _notes(parts: dict[str, Any]) -> tuple[str, ...]:
    others = [part for part in parts if part and part.lower() not in SPLIT_NAMES]
    for part in others:
        if meant := held_out_name(part):
            raise UserError(
                f"hf: the part {part} looks held out, but is not named as a split: rename it to {meant}, or to "
                "unlabeled if pretraining may see it"
            )
    return (f"the parts {', '.join(others)} are not splits: seen by pretraining only",) if others else ()

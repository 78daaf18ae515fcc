"""Convert columns of labels to those of the task that they are for."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unmask.config.metric import DEFAULT_TASK, TaskName, label_form
from unmask.data.file_names import in_line
from unmask.data.sources.column_kinds import (
    MISSING,
    SEPARATORS,
    Codes,
    flag_of,
    kind_of,
    number_of,
    suggested_task,
)
from unmask.data.sources.manifest_texts import encode_labels, is_no_label
from unmask.errors import UserError
from unmask.evaluate.labels import UNKNOWN
from unmask.tasks.classification import Classification
from unmask.tasks.kinds import AnyTask
from unmask.tasks.multilabel import Multilabel
from unmask.tasks.regression import Regression
from unmask.tasks.task import can_be_learned
from unmask.wording import plural, printable

_PREFIX = re.compile(r"^(labels?|targets?)[ _.:-]+(?=.)")


@dataclass(frozen=True)
class Labels:
    """Labels of all images of a source."""

    task: AnyTask | None
    """None if no image has a label."""
    values: NDArray[np.generic]
    """(N,) or (N, K), as the task has them; -1 without a task."""
    notes: tuple[str, ...] = ()

    @property
    def can_be_learned(self) -> bool:
        """See the function of this name."""
        return can_be_learned(self.task)

    @property
    def seen(self) -> str:
        """Why they cannot be learned."""
        if self.task is None or not self.task.names:
            return ""
        return f"all {int(self.task.known(self.values).sum())} labels are of one class"

    def unless_too_few(self) -> "Labels":
        """The labels; none if they cannot be learned."""
        return self if self.can_be_learned else no_labels(len(self.values), *self.notes)

    def all_notes(self) -> tuple[str, ...]:
        """The notes of the task, and how many images have no class."""
        if self.task is None or label_form(self.task.name) != "class":
            return self.notes
        return (*unlabeled_note(self.values.astype(np.int64)), *self.notes)


def no_labels(count: int, *notes: str) -> Labels:
    """Labels of images of which nothing is to be learned."""
    return Labels(None, np.full(count, -1, np.int64), notes)


def not_read(count: int, error: UserError) -> Labels:
    """Replaces labels that are not needed and cannot be read."""
    return no_labels(count, f"labels are not read: {error}")


def unlabeled_note(codes: NDArray[np.int64]) -> tuple[str, ...]:
    """A note on how many images of a source with classes have no label."""
    count = int((codes < 0).sum())
    return (_only_pretraining(count),) if count else ()


def read_labels(
    columns: Mapping[str, Sequence[str]],
    asked: TaskName | None,
    where: str,
    *,
    needed: bool = True,
    codes: Codes = "ask",
) -> Labels:
    """Labels from columns of text.

    Args:
        columns: by name, each with a text per image, "" if there is none.
        asked: the task, if given; else the labels decide. Labels do not matter for a segmentation.
        where: begins messages.
        needed: whether something is to be learned of them. If not, labels of which nothing can be learned are accepted,
            and those that do not fit the requested task are not read, with a note.
        codes: which whole numbers count as classes, however many there are.

    Raises:
        UserError: the labels fit no task, or several; or not the requested one.
    """
    count = len(next(iter(columns.values())))
    try:
        found = _read(columns, asked, where, codes)
        if needed:
            _require_kinds(found, where)
    except UserError as error:
        if needed or asked is None:
            raise
        return not_read(count, error)
    return found if found.task is not None else no_labels(count, *found.notes)


def _read(columns: Mapping[str, Sequence[str]], asked: TaskName | None, where: str, codes: Codes) -> Labels:
    """Same as `read_labels`, whether or not something can be learned of them."""
    task, why = (asked, "") if asked is not None else suggested_task(columns, where, codes)
    cells = set().union(*columns.values())
    known = {one for one in cells if one.lower() not in MISSING and not (asked == "multilabel" and is_no_label(one))}
    nothing = asked not in (None, DEFAULT_TASK) and not known
    if task == "segmentation" or nothing:
        return Labels(None, np.zeros(0))
    if task == "classification":
        return _classes(columns, where)
    found = _numbers(columns, where) if task == "regression" else _several(columns, where)
    missing = _missing_note(found)
    return Labels(found.task, found.values, (*((f"task {task}: {why}",) if why else ()), *missing))


def _classes(columns: Mapping[str, Sequence[str]], where: str) -> Labels:
    if len(columns) > 1:
        raise UserError(f"{where}: classes need a single column: name it with `label_field`")
    classes, codes = encode_labels(next(iter(columns.values())))
    return Labels(Classification(classes=classes) if classes else None, codes)


def _numbers(columns: Mapping[str, Sequence[str]], where: str) -> Labels:
    return Labels(
        Regression(targets=_names_of(columns)), _cells(columns, where, number_of, np.nan, "is not a finite number")
    )


def _several(columns: Mapping[str, Sequence[str]], where: str) -> Labels:
    (name, column), *more = columns.items()
    if not more and (short_name(name) == name or kind_of(column) != "yes or no"):
        return _separated(column)
    found = _cells(columns, where, flag_of, UNKNOWN, "is neither 0 nor 1")
    return Labels(Multilabel(labels=_names_of(columns)), found.astype(np.uint8))


def _separated(cells: Sequence[str]) -> Labels:
    """The labels of each cell; unknown where it holds none but those that mean no label."""
    sets = [
        frozenset() if cell.lower() in MISSING else {part.strip() for part in SEPARATORS.split(cell)} - {""}
        for cell in cells
    ]
    parts = sorted(set().union(*sets))
    names, codes = encode_labels(parts)
    places = dict(zip(parts, codes.tolist(), strict=True))
    values = np.full((len(cells), len(names)), UNKNOWN, np.uint8)
    for row, (cell, own) in enumerate(zip(cells, sets, strict=True)):
        known = [places[part] for part in own if places[part] >= 0]
        if known or (not own and cell.lower() not in MISSING):
            values[row] = 0
            values[row, known] = 1
    return Labels(Multilabel(labels=names), values)


def _require_kinds(found: Labels, where: str) -> None:
    """Raise `UserError` if nothing can be learned: a label that all images have, equal numbers, one label."""
    if isinstance(found.task, Multilabel) and len(found.task.labels) < 2:
        raise UserError(f"{where}: {plural(len(found.task.labels), 'label')} to tell apart; several labels are needed")
    if not isinstance(found.task, Multilabel | Regression):
        return
    several, numbers = isinstance(found.task, Multilabel), found.values.astype(np.float64)
    for name, column in zip(found.task.names, numbers.T, strict=True):
        own = column[column != UNKNOWN] if several else column[~np.isnan(column)]
        if not len(own):
            raise UserError(f"{where}: {in_line(name)} is unknown for all images: leave it out")
        if np.ptp(own) == 0:
            applies = f"applies to {'all' if own[0] else 'none'} of {len(own)} images: leave it out"
            same = f"is {own[0]:g} for all {len(own)} images; nothing can be learned"
            raise UserError(f"{where}: {'label ' * several}{in_line(name)} {applies if several else same}")


def short_name(name: str) -> str:
    """The name of a column without the word label or target before it: label_age is the age."""
    return _PREFIX.sub("", name)


def _names_of(columns: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Names of what columns hold: with several columns, label_age is the age."""
    names = tuple(printable(name) for name in columns)
    short = tuple(map(short_name, names))
    return short if len(names) > 1 and len(set(short)) == len(names) else names


def _cells(
    columns: Mapping[str, Sequence[str]], where: str, read: Callable[[str], float | None], unknown: float, wrong: str
) -> NDArray[np.float64]:
    """The columns' values, float64 (rows, columns); raises `UserError` for a cell that is `wrong`: None of `read`."""
    values = np.full((len(next(iter(columns.values()))), len(columns)), unknown)
    for at, (name, column) in enumerate(columns.items()):
        for row, text in enumerate(column):
            if text.lower() not in MISSING:
                value = read(text)
                if value is None:
                    raise UserError(f"{where}: row {row + 1}: {in_line(text)} in column {in_line(name)} {wrong}")
                values[row, at] = value
    return values


def _missing_note(found: Labels) -> tuple[str, ...]:
    """Notes on how many images lack some of their labels, and how many all."""
    missing = np.isnan(found.values) if found.values.dtype.kind == "f" else found.values == UNKNOWN
    none, some = int(missing.all(axis=1).sum()), int((missing.any(axis=1) & ~missing.all(axis=1)).sum())
    lack = plural(some, "image lacks", "images lack")
    notes = [_only_pretraining(none)] * bool(none)
    return (
        *notes,
        *([f"{lack} some of their labels, which count neither in training nor in scores"] * bool(some)),
    )


def _only_pretraining(count: int) -> str:
    return f"{plural(count, 'image without a label is', 'images without a label are')} seen by pretraining only"

"""Labels as Python and arrays hold them, one value per image, as columns of text: nothing is read as something else."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from unmask.config.metric import TaskName, label_form
from unmask.data.file_names import in_line
from unmask.data.sources.column_kinds import SEPARATORS
from unmask.data.sources.manifest import text_of
from unmask.errors import UserError


def label_columns(
    values: Sequence[Any], where: str, names: Sequence[str] | None = None, *, asked: TaskName | None = None
) -> dict[str, list[str]]:
    """Columns of labels, as `read_labels` takes them.

    Args:
        values: for each image a number or text; several texts, the labels that it has; several numbers, a row
            of 0 and 1 or of quantities; None, "" or NaN if it has none.
        where: begins messages.
        names: the names of the numbers of a row.
        asked: the task, if given: rows with a single 1 may mean classes, unless several labels are requested.

    Raises:
        UserError: a label is none of these, rows have different lengths, or the number of names differs.
    """
    plain = [_plain(value) for value in values]
    for value in plain:
        if not (value is None or isinstance(value, str | int | float | list)) or not _is_row(value):
            kind = type(value).__name__
            raise UserError(
                f"{where}: a label is a {kind} ({in_line(str(value))}): expected numbers, text or lists of these"
            )
    rows = [value for value in plain if isinstance(value, list)]
    if not rows:
        return {"label": [text_of(value) for value in plain]}
    if all(isinstance(one, str) for row in rows for one in row):
        return {"label": [_joined(value, where) for value in plain]}
    return _numbers(plain, where, names, one_hot=label_form(asked) == "names")


def _plain(value: Any) -> Any:
    """Convert tensors and arrays to Python's own numbers and lists."""
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    return list(value) if isinstance(value, tuple) else value


def _is_row(value: Any) -> bool:
    """Whether a list holds only texts or only numbers; True for anything that is not a list."""
    if not isinstance(value, list):
        return True
    return all(isinstance(one, str) for one in value) or all(isinstance(one, int | float) for one in value)


def _joined(value: Any, where: str) -> str:
    if not isinstance(value, list):
        return text_of(value)
    for name in value:
        if SEPARATORS.search(name):
            raise UserError(f"{where}: the label {in_line(name)} holds ; or |, which separate labels: rename it")
    return ";".join(value) or ";"


def _numbers(values: Sequence[Any], where: str, names: Sequence[str] | None, *, one_hot: bool) -> dict[str, list[str]]:
    """A column for each number of a row."""
    rows = [value for value in values if isinstance(value, list)]
    lengths = {len(row) for row in rows}
    if len(lengths) > 1 or any(value not in (None, "") for value in values if not isinstance(value, list)):
        raise UserError(
            f"{where}: labels are rows of different lengths ({sorted(lengths)[:5]}): make them equally long"
        )
    (count,) = lengths
    if not one_hot and count > 1 and all(sorted(row) == [0] * (count - 1) + [1] for row in rows):
        raise UserError(
            f"{where}: each row of labels has one 1: store the argmax of one-hot rows; if an image may have several "
            "labels, say so with `task`, multilabel"
        )
    if names is not None and len(names) != count:
        raise UserError(f"{where}: {count} labels per image and {len(names)} names")
    titles = [f"label {name}" for name in (names or [str(at + 1) for at in range(count)])]
    return {
        title: [text_of(value[at]) if isinstance(value, list) else "" for value in values]
        for at, title in enumerate(titles)
    }

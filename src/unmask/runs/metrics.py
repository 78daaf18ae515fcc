"""metrics.jsonl: measurements during training, one row per line."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from unmask.config import from_json, to_json
from unmask.config.serialize import parse_json
from unmask.errors import UserError
from unmask.runs.files import write_whole
from unmask.runs.layout import METRICS_FILE
from unmask.runs.ranges import Count, NotNegative, Share


@dataclass(frozen=True, kw_only=True)
class TrainingRow:
    """A logged step of training."""

    kind: Literal["train"] = "train"
    step: Count
    """Steps done."""
    epoch: NotNegative | None = None
    phase: str | None = None
    """For a classifier: "head" or "all"."""
    loss: float
    baseline: float | None = None
    """For pretraining: the loss of the constant prediction on the same cells."""
    grad_norm: NotNegative | None = None
    """Before clipping; None if it was not finite, which happens occasionally with fp16's loss scaling."""
    val_accuracy: Share | None = None
    val_score: float | None = None
    """For tasks other than classification: the first metric on the validation images."""


@dataclass(frozen=True, kw_only=True)
class ValidationRow:
    """A look at a pretraining on its fixed batch with fixed masks."""

    kind: Literal["val"] = "val"
    step: Count
    epoch: NotNegative
    val_loss: float
    baseline: float
    effective_rank: NotNegative
    feature_std: NotNegative
    collapsed: bool


Row = TrainingRow | ValidationRow
R = TypeVar("R", TrainingRow, ValidationRow)


def append_metrics(folder: Path, row: Row) -> None:
    """Append one line to metrics.jsonl. A line is written with one call, so a kill never leaves two partial lines."""
    with (folder / METRICS_FILE).open("a", encoding="utf-8") as stream:
        stream.write(_line(row))


def _line(row: Row) -> str:
    """The fields of the row."""
    return json.dumps({k: v for k, v in to_json(row).items() if v is not None}, ensure_ascii=False) + "\n"


def read_metrics(folder: Path) -> list[Row]:
    """All complete lines of metrics.jsonl; a last line cut by a kill is left out.

    Raises:
        UserError: a line is not a row; the message names file, line and field.
    """
    path = folder / METRICS_FILE
    return [_row(values, f"{path}: line {number}: ") for number, values in _lines(path)]


def _row(values: Any, where: str) -> Row:
    kind = values.get("kind") if isinstance(values, Mapping) else None
    if kind not in ("train", "val"):
        raise UserError(f"{where}kind: expected 'train' or 'val', found {str(kind)[:80]!r}")
    return from_json(ValidationRow, values, where) if kind == "val" else from_json(TrainingRow, values, where)


def rows_of(kind: type[R], rows: Iterable[Row]) -> list[R]:
    """The rows of one kind."""
    return [row for row in rows if isinstance(row, kind)]


def rewind_metrics(folder: Path, step: int) -> None:
    """Drop the lines after `step`, so that a resumed run writes them again instead of twice."""
    rewrite_metrics(folder, [row for row in read_metrics(folder) if row.step <= step])


def rewrite_metrics(folder: Path, rows: Iterable[Row]) -> None:
    """Replace metrics.jsonl by these rows, atomically."""
    write_whole(folder / METRICS_FILE, "".join(map(_line, rows)))


def _lines(path: Path) -> list[tuple[int, Any]]:
    *lines, cut = path.read_bytes().split(b"\n") if path.exists() else [b""]
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append((number, parse_json(line.decode())))
        except ValueError as error:
            raise UserError(f"{path}: line {number} is not valid JSON ({error})") from None
    with suppress(ValueError):  # a line that a kill cut has no line end
        found.append((len(lines) + 1, parse_json(cut.decode())))
    return found

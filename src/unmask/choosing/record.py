"""choose.csv and choose.json: what was chosen, from what, and how."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from unmask.choosing.strategies import Strategy
from unmask.config import DataConfig, from_json, to_json
from unmask.config.metric import TaskName
from unmask.data.decoding.image_format import ImageFormat
from unmask.data.file_names import in_line
from unmask.errors import UserError
from unmask.runs.files import atomic_path, read_json

CHOICE_TABLE, CHOICE_FILE, CHOICE_PAGE = "choose.csv", "choose.json", "choose.html"


@dataclass(frozen=True, kw_only=True)
class ChosenImage:
    """A row of choose.csv."""

    path: str
    """Absolute."""
    rank: int
    """From 1, in labeling order."""
    cluster: int
    """Cluster of the pool, at most ten, numbered by size."""
    typicality: float
    """1 / mean distance to the 20 nearest images of the pool."""
    share: float
    """Share of the pool's images to which no other chosen or labeled image is nearer."""
    reason: str


@dataclass(frozen=True, kw_only=True)
class Choice:
    """choose.json."""

    run: str
    data: DataConfig
    format: ImageFormat
    """Image size of the encoder."""
    task: TaskName | None
    """The task of the data or the run; None if neither has one."""
    classes: tuple[str, ...]
    """Classes or labels of the data or the run; empty if neither has any."""
    strategy: Strategy
    model: str | None
    """The classifier whose uncertainty counted."""
    seed: int
    pool: int
    """Number of images in the pool."""
    labeled: int
    """Number of them that were already labeled."""
    copies: int
    """Number of them that repeat another one's pixels."""
    unreadable: int


def write_table(path: Path, images: Sequence[ChosenImage]) -> None:
    """Write choose.csv."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(ChosenImage)])
        writer.writeheader()
        writer.writerows(to_json(image) for image in images)


def read_choice(folder: Path) -> tuple[Choice, list[str]]:
    """The record of a choice, and the paths of its images in order.

    Raises:
        UserError: no choice there, or one of its files has been damaged.
    """
    if not (folder / CHOICE_TABLE).is_file():
        raise UserError(f"{folder}: no {CHOICE_TABLE} in it; give the folder that `unmask choose` wrote")
    choice = from_json(Choice, read_json(folder / CHOICE_FILE), f"{folder / CHOICE_FILE}: ")
    with (folder / CHOICE_TABLE).open(encoding="utf-8", newline="") as stream:
        paths = [row.get("path") or "" for row in csv.DictReader(stream)]
    missing = [path for path in paths if not Path(path).is_file()]
    if missing or not paths:
        what = f"the image {in_line(missing[0])} no longer exists" if missing else "lists no image"
        raise UserError(f"{folder / CHOICE_TABLE}: {what}; choose again")
    return choice, paths

"""What every source of data provides: names, labels, splits and access to the images."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from unmask.data.decoding.file import File
from unmask.data.decoding.mask import MaskCode
from unmask.data.decoding.reading import DEFAULT, Reading
from unmask.data.known_parts import ImageParts
from unmask.data.string_table import take
from unmask.data.threads import THREADS
from unmask.tasks.classification import Classification
from unmask.tasks.kinds import AnyTask
from unmask.wording import plural

UNASSIGNED, TRAIN, VAL, TEST, UNLABELED, UNREADABLE = "", "train", "val", "test", "unlabeled", "unreadable"
SPLIT_NAMES = {
    "": UNASSIGNED,
    "train": TRAIN,
    "training": TRAIN,
    "val": VAL,
    "valid": VAL,
    "validation": VAL,
    "dev": VAL,
    "test": TEST,
    "testing": TEST,
    "unlabeled": UNLABELED,
    "unlabelled": UNLABELED,
}
"""Common names of splits, and what they mean here."""


_VAL = re.compile(r"valid.*|(val|dev)(set|data|split|images?|imgs?)?")


def words_of(name: str) -> list[str]:
    """The words of a name, in lower case: what is not a letter separates them."""
    return [word for word in re.split(r"[^a-z]+", name.lower()) if word]


def held_out_name(name: str) -> str | None:
    """The split that a name such as "test_set" or "eval" suggests: images that must not be trained on."""
    words = words_of(name)
    if any(word.startswith(("test", "eval", "holdout", "heldout")) for word in words) or {"hold", "out"} <= set(words):
        return TEST
    return VAL if any(map(_VAL.fullmatch, words)) else None


def training_name(name: str) -> bool:
    """Whether a name such as "train2017" or "training_set" suggests images to train on."""
    return any(word.startswith("train") for word in words_of(name))


class Images(Protocol):
    """Images by row, as stored. What it holds per row is small and not a Python object."""

    @property
    def threads(self) -> int:
        """How many threads may read rows at a time."""
        ...

    def __len__(self) -> int: ...

    def stored(self, row: int) -> File | NDArray[np.generic]:
        """Image `row`: a file that is still to be decoded, or its pixels, (C, H, W)."""
        ...

    def take(self, rows: NDArray[np.int64]) -> "Images":
        """The images at `rows`, in that order."""
        ...


def place_in(ends: NDArray[np.int64], at: int) -> tuple[int, int]:
    """Which of several concatenated tables holds row `at`, and at which row; `ends` are running sums."""
    part = int(np.searchsorted(ends, at, "right"))
    return part, at - (int(ends[part - 1]) if part else 0)


@dataclass(frozen=True)
class Files:
    """Images in files, one each, decoded on demand."""

    root: Path
    relative: Sequence[str]
    """Paths relative to the root, or absolute."""
    threads: int = THREADS

    def __len__(self) -> int:
        return len(self.relative)

    def stored(self, row: int) -> Path:
        """The path of a file."""
        return self.root / self.relative[row]

    def take(self, rows: NDArray[np.int64]) -> "Files":
        """See `Images.take`."""
        return replace(self, relative=take(self.relative, rows))


@dataclass(frozen=True)
class Arrays:
    """Images in memory or in a memory map: uint8, uint16 or float, shape (N, C, H, W)."""

    values: NDArray[np.generic]
    threads: int = THREADS

    def __len__(self) -> int:
        return len(self.values)

    def stored(self, row: int) -> NDArray[np.generic]:
        """The pixels of an image."""
        return self.values[row]

    def take(self, rows: NDArray[np.int64]) -> "Arrays":
        """See `Images.take`."""
        return replace(self, values=self.values[rows])


def mask_rows(has: NDArray[np.bool_]) -> NDArray[np.int64]:
    """`Masks.of` if the masks are in the order of the images that have one, (N,)."""
    return np.where(has, np.cumsum(has, dtype=np.int64) - 1, -1)


@dataclass(frozen=True)
class Masks:
    """The masks of some of the images, one file or array each."""

    files: Images
    of: NDArray[np.int64]
    """Which mask each image has, a row of `files`; -1 without one, (N,)."""
    code: MaskCode = field(default_factory=MaskCode)
    """How their values become classes."""

    @property
    def notes(self) -> tuple[str, ...]:
        """How many images have none."""
        count = int((self.of < 0).sum())
        return (
            (f"{plural(count, 'image without a mask is', 'images without a mask are')} seen by pretraining only",)
            if count
            else ()
        )


@dataclass(frozen=True)
class Source:
    """A listed, not yet decoded data set. Row i of every field is image i; the order is the same on any file system."""

    names: Sequence[str]
    """A relative path, or "train[17]"."""
    labels: NDArray[np.generic]
    """As the task has them, (N, ...); classes are indices, -1 where unlabeled, (N,)."""
    splits: NDArray[np.str_]
    """One of train, val, test, unlabeled, or "" if the split is to be drawn. Shape (N,)."""
    images: Images
    classes: tuple[str, ...] = ()
    """Names of the classes; empty without a classification."""
    task: AnyTask | None = None
    """What is learned of the images; None if they have no labels. Default: the classes, if there are any."""
    reading: Reading = DEFAULT
    """What to read of files."""
    groups: NDArray[np.int64] | None = None
    """Images of one group stay in one split. Shape (N,)."""
    extra_tests: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    """Named parts of the test split: rows."""
    parts: ImageParts | None = None
    """The parts that images show, by their rows, if known."""
    masks: Masks | None = None
    """The masks of images, if they have any."""
    notes: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    """One message for each container of images (shard) that could not be listed to its end."""

    def __post_init__(self) -> None:
        if self.task is None and self.classes:
            object.__setattr__(self, "task", Classification(classes=self.classes))
        elif isinstance(self.task, Classification):
            object.__setattr__(self, "classes", self.task.classes)

    @property
    def strata(self) -> NDArray[np.int64]:
        """The stratum of each image, -1 without a label, (N,); see `Task.strata`."""
        return np.full(len(self.names), -1, np.int64) if self.task is None else self.task.strata(self.labels)

    def evenly(self, limit: int) -> "Source":
        """At most `limit` of the images, spread evenly; masks and parts of the test split are dropped."""
        count = len(self.names)
        rows = np.linspace(0, count - 1, min(limit, count)).round().astype(np.int64)
        return replace(
            self,
            names=take(self.names, rows),
            labels=self.labels[rows],
            splits=self.splits[rows],
            groups=None if self.groups is None else self.groups[rows],
            images=self.images.take(rows),
            masks=None,
            extra_tests={},
            parts=None,
        )


def split_array(names: list[str]) -> NDArray[np.str_]:
    """Split names as an array that can hold every one of them."""
    return np.asarray(names, dtype="U10")

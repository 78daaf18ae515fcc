"""What every source of data hands over: names, labels, splits and a way to get at the images."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

UNASSIGNED, TRAIN, VAL, TEST, UNLABELLED, UNREADABLE = "", "train", "val", "test", "unlabelled", "unreadable"
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
    "unlabelled": UNLABELLED,
    "unlabeled": UNLABELLED,
}
"""What people call a split, and what it means here."""


@dataclass(frozen=True)
class Files:
    """Images in files, one each, decoded when they are wanted."""

    paths: tuple[Path, ...]
    page: int = 0
    pages_are_channels: bool = False


@dataclass(frozen=True)
class Arrays:
    """Images in memory or in a memory map: uint8, uint16 or float, shape (N, C, H, W)."""

    values: NDArray[np.generic]


@dataclass(frozen=True)
class Source:
    """A listed, not yet decoded data set. Row i of every field is image i, in an order that no file system changes."""

    names: tuple[str, ...]
    """A relative path, or "train[17]"."""
    labels: NDArray[np.int64]
    """Index into classes; -1 where unlabelled. Shape (N,)."""
    classes: tuple[str, ...]
    splits: NDArray[np.str_]
    """One of train, val, test, unlabelled, or "" where the split is to be drawn. Shape (N,)."""
    images: Files | Arrays
    groups: NDArray[np.int64] | None = None
    """Images of one group never part. Shape (N,)."""
    extra_tests: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    """Named parts of the test split: rows."""
    notes: tuple[str, ...] = ()


def split_array(names: list[str]) -> NDArray[np.str_]:
    """Split names as an array that can hold every one of them."""
    return np.asarray(names, dtype="U10")

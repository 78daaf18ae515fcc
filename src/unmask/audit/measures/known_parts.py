"""The truth about images with known parts, and a classifier's accuracy if only one part is shown.

Letters: N images, k classes, L parts per class, P = k · L parts in all; part l of class c is column c · L + l.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unmask.data.decoding.image_format import to_format
from unmask.data.known_parts import KnownParts
from unmask.data.load import Dataset
from unmask.errors import UserError

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Contrasts:
    """The images that test whether a unit responds to a part. An image may be neither positive nor negative."""

    positive: Bools
    """Shows the part and no other part of its class, (N, P)."""
    negative: Bools
    """Shows no part of the class, not even faintly, (N, P)."""

    def select(self, rows: Ints | Bools) -> "Contrasts":
        """A subset of the images."""
        return Contrasts(self.positive[rows], self.negative[rows])


def contrasts(parts: KnownParts) -> Contrasts:
    """Positives show one part alone; negatives are images of other classes in which it does not occur at all.

    Images that show all the parts of a class would make a detector of one part look like a detector of the others,
    because they always occur together; images of the class that show another part would count a unit that responds to
    all parts of a class as half wrong on each. Both are left out, so the measure does not depend on k and L.
    """
    n, k, views = parts.faint.shape
    own = parts.labels[:, None] == np.arange(k)
    alone = parts.shown & (parts.shown.sum(1, keepdims=True) == 1)
    positive = own[:, :, None] & alone[:, None, :]
    negative = ~own[:, :, None] & ~parts.faint
    return Contrasts(positive.reshape(n, k * views), negative.reshape(n, k * views))


def alternate(parts: KnownParts) -> Bools:
    """One half of the images, (N,): every second one per class and shown parts."""
    groups = np.concatenate([parts.labels[:, None], parts.shown.astype(np.int64)], 1)
    _, group = np.unique(groups, axis=0, return_inverse=True)
    order = np.argsort(group.reshape(-1), kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(group.reshape(-1)))[:-1]])
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - starts[group.reshape(-1)[order]]
    return rank % 2 == 0


def known_parts(data: Dataset, split: str = "test") -> KnownParts | None:
    """The truth of a whole test set, in its order; None for data whose parts are not known.

    Also None if validation images replace the test set: their parts have no sets of their own.

    Raises:
        UserError: no such test set.
    """
    if data.parts is None or "multi" not in data.tests:
        return None
    if split not in data.tests:
        raise UserError(f"split = {split!r} is unknown: the test sets are {', '.join(data.tests)}")
    return data.parts.known(data.tests[split].ids.numpy())


def without_parts(data: Dataset) -> Tensor:
    """The images of the test set "test" again, without any part of their class: [N, C, H, W] in 0..1.

    Background, noise and faint parts of other classes are exactly the same; only a faint part that would have
    overlapped the removed part may lie elsewhere.
    """
    assert data.parts is not None
    bare = data.parts.removed(data.tests["test"].ids.numpy())
    return data.format.rescale(to_format(bare, data.format).float())


def single_part_accuracy(predicted: Ints, parts: KnownParts) -> Floats:
    """Accuracy of (N,) predictions on images with one part of their class only, (k, L); NaN where there is none."""
    alone = parts.shown & (parts.shown.sum(1, keepdims=True) == 1)
    own = parts.labels[:, None] == np.arange(len(parts.classes))
    cell = own[:, :, None] & alone[:, None, :]
    right = (cell & (predicted == parts.labels)[:, None, None]).sum(0)
    count = cell.sum(0)
    return np.where(count > 0, right / np.maximum(count, 1), np.nan)


def whole_accuracy(predicted: Ints, parts: KnownParts) -> float:
    """Accuracy on images that show all parts of their class; NaN if there are none."""
    rows = parts.shown.all(1)
    return float((predicted == parts.labels)[rows].mean()) if rows.any() else float("nan")

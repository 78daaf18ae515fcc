"""What is known of images with known parts, and how a classifier fares where only one part is shown.

Letters: N images, k classes, L parts a class, P = k · L parts in all; part l of class c is column c · L + l.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unmask.config import DataConfig
from unmask.data.image_format import to_format
from unmask.data.load import Dataset
from unmask.data.multiview import MultiViewConfig, draw_multiview, objects, places
from unmask.errors import UserError

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class KnownParts:
    """Ground truth of N images."""

    classes: tuple[str, ...]
    """The k names."""
    labels: Ints
    """(N,)."""
    shown: Bools
    """Which parts of its class an image shows, (N, L)."""
    faint: Bools
    """Parts of other classes that an image shows faintly (distractors), (N, k, L)."""
    boxes: Ints
    """Top, left, bottom, right (exclusive) of each part in pixels, (N, L, 4); -1 where it is absent."""

    @property
    def names(self) -> tuple[str, ...]:
        """The P names: "3.1" is the first part of class 3."""
        return tuple(f"{name}.{part + 1}" for name in self.classes for part in range(self.shown.shape[1]))

    def select(self, rows: Ints | Bools) -> "KnownParts":
        """The truth of some of the images."""
        return KnownParts(self.classes, self.labels[rows], self.shown[rows], self.faint[rows], self.boxes[rows])


@dataclass(frozen=True)
class Contrasts:
    """Which images tell whether a unit responds to a part. An image may be neither positive nor negative."""

    positive: Bools
    """Shows the part and no other part of its class, (N, P)."""
    negative: Bools
    """Shows no part of the class, not even faintly, (N, P)."""

    def select(self, rows: Ints | Bools) -> "Contrasts":
        """Some of the images."""
        return Contrasts(self.positive[rows], self.negative[rows])


def contrasts(parts: KnownParts) -> Contrasts:
    """Positives show one part alone; negatives are images of other classes in which it does not occur at all.

    Images that show all the parts of a class would make a detector of one part look like a detector of the others,
    for they always occur together; images of the class that show another part would count a unit that responds to all
    parts of a class as half wrong on each. Both are left out, so the measure does not depend on k and L.
    """
    n, k, views = parts.faint.shape
    own = parts.labels[:, None] == np.arange(k)
    alone = parts.shown & (parts.shown.sum(1, keepdims=True) == 1)
    positive = own[:, :, None] & alone[:, None, :]
    negative = ~own[:, :, None] & ~parts.faint
    return Contrasts(positive.reshape(n, k * views), negative.reshape(n, k * views))


def alternate(parts: KnownParts) -> Bools:
    """One half of the images, (N,): every other one of each class and of what is shown."""
    groups = np.concatenate([parts.labels[:, None], parts.shown.astype(np.int64)], 1)
    _, group = np.unique(groups, axis=0, return_inverse=True)
    order = np.argsort(group.reshape(-1), kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(group.reshape(-1)))[:-1]])
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - starts[group.reshape(-1)[order]]
    return rank % 2 == 0


def known_parts(config: DataConfig, data: Dataset, split: str = "test") -> KnownParts | None:
    """The truth of a whole test set of the built-in multiview, in its order; None for any other data.

    None, too, where validation images stand in for the test: their parts have no sets of their own.

    Args:
        config: what `data` was loaded from.
        data: gives the ids of the images.
        split: "test", "multi", "single_1", ...

    Raises:
        UserError: no such test set.
    """
    if config.data != "multiview" or "multi" not in data.tests:
        return None
    if split not in data.tests:
        raise UserError(f"split = {split!r} is unknown: the test sets are {', '.join(data.tests)}")
    settings = MultiViewConfig(**(config.options or {}))  # type: ignore[arg-type]
    images = data.tests[split]
    shown = np.zeros((len(images), settings.parts), bool)
    members = {name: set(images.ids.tolist()) for name, images in data.tests.items()}
    for row, id_ in enumerate(images.ids.tolist()):
        everything = id_ in members["multi"]
        shown[row] = [everything or id_ in members[f"single_{part + 1}"] for part in range(settings.parts)]
    ids = images.ids.numpy() - settings.images - settings.val_images
    return true_parts(settings, "test", ids, images.labels.numpy(), shown, data.classes)


def without_parts(config: DataConfig, data: Dataset) -> Tensor:
    """The images of the test set "test" of multiview once more, without any part of their class: [N, C, H, W] in 0..1.

    Background, noise and faint parts of other classes are the same, number by number; only a faint part may lie
    elsewhere, where it would have overlapped the part that is gone.
    """
    settings = MultiViewConfig(**(config.options or {}))  # type: ignore[arg-type]
    shows = np.full(settings.test_images, settings.parts + 1)
    ids = data.tests["test"].ids.numpy() - settings.images - settings.val_images
    bare = draw_multiview(settings, "test", shows).images[ids]
    return data.format.rescale(to_format(bare, data.format).float())


def true_parts(
    settings: MultiViewConfig, split: str, ids: Ints, labels: Ints, shown: Bools, classes: tuple[str, ...]
) -> KnownParts:
    """The truth of images drawn by `draw_multiview`, without drawing their pixels again.

    Args:
        settings: the distribution.
        split: the stream of random numbers: train, val or test.
        ids: place of each image in the stream, (N,).
        labels: (N,).
        shown: which of the class's parts each image shows, (N, L).
        classes: the k names.
    """
    n, own = len(ids), settings.parts
    which, strength = objects(settings, split, ids, labels, shown)
    corners = places(settings, split, ids, strength > 0)[:, :own]
    boxes = np.where(shown[:, :, None], np.concatenate([corners, corners + settings.part_size], 2), -1)
    faint = np.zeros((n, settings.classes * own), bool)
    rows, columns = np.nonzero(strength[:, own:] > 0)
    faint[rows, which[:, own:][rows, columns]] = True
    return KnownParts(classes, labels, shown, faint.reshape(n, settings.classes, own), boxes)


def single_part_accuracy(predicted: Ints, parts: KnownParts) -> Floats:
    """Accuracy on images that show one part of their class only, (k, L); NaN where there is none.

    Args:
        predicted: predicted classes, (N,).
        parts: the truth of the same images.
    """
    alone = parts.shown & (parts.shown.sum(1, keepdims=True) == 1)
    own = parts.labels[:, None] == np.arange(len(parts.classes))
    cell = own[:, :, None] & alone[:, None, :]
    right = (cell & (predicted == parts.labels)[:, None, None]).sum(0)
    count = cell.sum(0)
    return np.where(count > 0, right / np.maximum(count, 1), np.nan)


def whole_accuracy(predicted: Ints, parts: KnownParts) -> float:
    """Accuracy on images that show all parts of their class; NaN where there is none."""
    rows = parts.shown.all(1)
    return float((predicted == parts.labels)[rows].mean()) if rows.any() else float("nan")

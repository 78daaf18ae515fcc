"""Subsets of the images of a set: labeled ones for label-efficiency curves, and a few of all classes to be shown."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from unmask.errors import UserError
from unmask.randomness import permutation


def nested_subsets(
    labels: Tensor, budgets: Sequence[int], seed: int, groups: Tensor | None = None, classes: Sequence[str] = ()
) -> dict[int, Tensor]:
    """For each budget b, the indices of b images of every class; a smaller budget's images are among a larger one's.

    With groups, whole groups are taken one after the other and the images beyond the budget left out of the last
    one, so that as few groups as possible are touched and nesting still holds.

    Args:
        labels: class of each image, -1 where unlabeled, int64 (N,).
        budgets: images per class.
        seed: seed of the draw.
        groups: group of each image, int64 (N,).
        classes: names of the classes, for messages.

    Returns:
        Sorted indices, int64 (b · classes,), by budget.

    Raises:
        UserError: a class has fewer images than the largest budget.
    """
    values = labels.numpy()
    present = np.unique(values[values >= 0])
    shuffled = _shuffled(len(values), seed, None if groups is None else groups.numpy())
    ordered = {int(label): shuffled[values[shuffled] == label] for label in present}
    _require_enough(ordered, max(budgets), classes)
    return {
        budget: torch.from_numpy(np.sort(np.concatenate([rows[:budget] for rows in ordered.values()])))
        for budget in budgets
    }


def spread_over_classes(labels: Tensor, count: int) -> Tensor:
    """Up to `count` images of as many classes as possible: the first of each class, then the second, and so on.

    Of more classes than `count`, as many are taken, evenly spread. Images that all have one label, as where none is
    labeled, are spread evenly over the set.

    Args:
        labels: class of each image, -1 where unlabeled, int64 (N,).
        count: images wanted.

    Returns:
        Indices in the order of choice, int64 (n,).
    """
    classes = labels.unique()
    if len(classes) < 2:
        return torch.linspace(0, len(labels) - 1, min(count, len(labels))).round().long()
    chosen = classes[torch.linspace(0, len(classes) - 1, min(count, len(classes))).round().long()]
    turns = torch.full_like(labels, len(labels))
    for label in chosen:
        mine = labels == label
        turns[mine] = torch.arange(int(mine.sum()))
    order = np.lexsort((labels.numpy(), turns.numpy()))
    return torch.from_numpy(order[: min(count, int((turns < len(labels)).sum()))])


def _shuffled(size: int, seed: int, groups: np.ndarray | None) -> np.ndarray:
    """All indices in random order, with the images of a group side by side."""
    order = permutation(seed, "labelled subset", 0, size)
    if groups is None:
        return order
    names, member = np.unique(groups, return_inverse=True)
    rank = np.empty(len(names), np.int64)
    rank[permutation(seed, "labelled groups", 0, len(names))] = np.arange(len(names))
    return order[np.argsort(rank[member[order]], kind="stable")]


def _require_enough(ordered: dict[int, np.ndarray], budget: int, classes: Sequence[str]) -> None:
    label, rows = min(ordered.items(), key=lambda item: len(item[1]), default=(0, np.zeros(0)))
    if len(rows) < budget:
        name = classes[label] if label < len(classes) else f"{label}"
        raise UserError(
            f"budgets: {budget} labeled images per class are wanted, but class {name} has {len(rows)} training images: "
            f"the largest possible budget is {len(rows)}"
        )

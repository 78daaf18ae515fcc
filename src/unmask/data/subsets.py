"""Subsets of the images of a set: labeled ones for label-efficiency curves, and a few of all classes to show."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unmask.config.budget import Budget, class_counts, parse_budget
from unmask.errors import UserError
from unmask.randomness import derive_seed, permutation


def nested_subsets(
    labels: Tensor,
    budgets: Sequence[Budget],
    seed: int,
    groups: NDArray[np.int64] | None = None,
    classes: Sequence[str] = (),
    index: int = 0,
) -> dict[Budget, Tensor]:
    """For each budget the indices of its images of every class; smaller budgets are subsets of larger ones.

    Subsets of one seed and different `index` share no image while a class lasts: those of the largest budget
    take block after block of its images in random order, later ones the parts of blocks that smaller budgets left.
    When even the smallest budget finds no free part, the class is reshuffled.

    With groups, whole groups are taken one after the other and the images beyond the budget left out of the last
    one, so that as few groups as possible are touched and nesting still holds. Images at random ("random:50") come
    from all classes together, so that a class may get none. Budgets that an encoder chooses ("chosen:50") are skipped.

    Args:
        labels: class of each image, -1 where unlabeled, int64 (N,).
        budgets: how many images; see `Budget`.
        groups: group of each image, int64 (N,).
        classes: names of the classes, for messages.
        index: which of the subsets of this seed.

    Returns:
        Sorted indices, int64, by budget.

    Raises:
        UserError: a class has fewer images than the largest budget, or a total exceeds the images or is below the
            number of classes.
    """
    values = labels.numpy()
    present = np.unique(values[values >= 0])
    sizes = [int((values == label).sum()) for label in present]
    for budget in budgets:
        _require_possible(budget, dict(zip(present.tolist(), sizes, strict=True)), classes)
    lots = {budget: int(parse_budget(budget).value) for budget in budgets if parse_budget(budget).kind == "random"}
    drawn = {budget: torch.from_numpy(np.sort(rows)) for budget, rows in _by_lot(values, lots, seed, groups, index)}
    budgets = [budget for budget in budgets if parse_budget(budget).kind not in ("random", "chosen")]
    if not budgets:
        return drawn
    counts = {budget: class_counts(budget, sizes) for budget in budgets}
    chosen: dict[Budget, list[np.ndarray]] = {budget: [] for budget in budgets}
    for at, label in enumerate(present):
        starts = _starts(sizes[at], [counts[budget][at] for budget in budgets])
        rows = _of_turn(values == label, starts, seed, groups, index)
        for budget, parts in chosen.items():
            parts.append(rows[: counts[budget][at]])
    return drawn | {budget: torch.from_numpy(np.sort(np.concatenate(parts))) for budget, parts in chosen.items()}


def _by_lot(
    values: np.ndarray, lots: Mapping[Budget, int], seed: int, groups: np.ndarray | None, index: int
) -> Iterator[tuple[Budget, np.ndarray]]:
    """Randomly drawn labeled images of all classes together, by budget."""
    if lots:
        starts = _starts(int((values >= 0).sum()), list(lots.values()))
        rows = _of_turn(values >= 0, starts, seed, groups, index)
        yield from ((budget, rows[:count]) for budget, count in lots.items())


def _of_turn(wanted: np.ndarray, starts: Sequence[int], seed: int, groups: np.ndarray | None, index: int) -> np.ndarray:
    """The wanted images in random order, from where the subset of this index starts."""
    cycle, place = divmod(index, len(starts))
    shuffled = _shuffled(len(wanted), seed if cycle == 0 else derive_seed(seed, "labeled cycle", cycle), groups)
    return np.roll(shuffled[wanted[shuffled]], -starts[place])


def half_of(labels: Tensor, seed: int, groups: NDArray[np.int64] | None = None, index: int = 0) -> Tensor:
    """Half of the labeled images at random, in whole groups if possible: a pool to choose from. Sorted, int64. Labels
    and groups are int64 (N,), -1 where unlabeled."""
    order = _shuffled(len(labels), derive_seed(seed, "pool half", index), groups)
    known = order[labels.numpy()[order] >= 0]
    return torch.from_numpy(np.sort(known[: (len(known) + 1) // 2]))


def mean_overlap(subsets: Sequence[Tensor]) -> float:
    """The share of images that two subsets have in common, the mean over pairs of equally large ones.

    With c_i the number of subsets that hold image i, all pairs together share Σ c_i (c_i - 1) / 2 images. 0 for one.
    """
    if len(subsets) < 2:
        return 0.0
    counts = torch.bincount(torch.cat(list(subsets)))
    pairs = len(subsets) * (len(subsets) - 1) / 2
    return float((counts * (counts - 1)).sum()) / 2 / pairs / len(subsets[0])


def _starts(size: int, budgets: Sequence[int]) -> list[int]:
    """Where in a class of `size` images the subsets start that share no image at as large a budget as possible."""
    starts: dict[int, None] = {}  # in order
    blocks = [(0, size)]
    for budget in sorted(set(budgets), reverse=True):
        blocks = [
            (start + inner, min(budget, length - inner))
            for start, length in blocks
            for inner in range(0, length, budget)
        ]
        starts.update(dict.fromkeys(start for start, length in blocks if length == budget))
    return list(starts)


def spread_over_classes(labels: Tensor, count: int) -> Tensor:
    """Up to `count` images of as many classes as possible: the first of each class, then the second, and so on; labels
    are int64 (N,), -1 where unlabeled.

    With more classes than `count`, as many classes are taken, evenly spread. Images that all have one label (also
    if none is labeled), and those whose labels are not classes, are spread evenly over the set.

    Returns:
        Indices in the order of choice, int64 (n,).
    """
    classes = labels.unique() if labels.ndim == 1 else labels[:0]
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


def _require_possible(budget: Budget, sizes: Mapping[int, int], classes: Sequence[str]) -> None:
    """Raise UserError if classes of so many images each have too few for a budget, or it too few for the classes."""
    if isinstance(budget, int) and (not sizes or min(sizes.values()) < budget):
        label = min(sizes, key=lambda one: sizes[one], default=0)
        name, count = classes[label] if label < len(classes) else f"{label}", sizes.get(label, 0)
        raise UserError(
            f"budgets: {budget} labeled images per class were requested, but class {name} has {count} training images: "
            f"the largest possible budget is {count}; total:NUMBER, a share such as 10% and all use what there is"
        )
    amount = parse_budget(budget)
    if amount.kind == "chosen" and amount.value > (there := (sum(sizes.values()) + 1) // 2):
        raise UserError(f"budgets: {budget} is out of range: a draw chooses from half of the training images, {there}")
    in_all = amount.kind in ("total", "balanced", "random")
    if in_all and not len(sizes) <= amount.value <= sum(sizes.values()):
        raise UserError(
            f"budgets: {budget} is out of range: there are {sum(sizes.values())} labeled training images of "
            f"{len(sizes)} classes, each of which gets at least one"
        )

"""Which image is for training, validation or test. Groups stay together; classes are split in equal shares."""

import numpy as np
from numpy.typing import NDArray

from unmask.data.sources.source import TEST, TRAIN, UNASSIGNED, UNLABELED, VAL
from unmask.randomness import permutation


def assign_splits(
    labels: NDArray[np.int64],
    given: NDArray[np.str_],
    groups: NDArray[np.int64] | None,
    *,
    val_share: float,
    test_share: float,
    seed: int,
) -> NDArray[np.str_]:
    """The split of every image.

    Given splits are kept. Without a test split, `test_share` of the labeled images with no split or in
    training become one; without a validation split, `val_share` of what then is left for training do.
    Unlabeled images with no split are for training (that is, pretraining) only.

    Args:
        labels: class of each image, -1 where unlabeled, (N,).
        given: train, val, test, unlabeled or "" (no split), (N,).
        groups: group of each image, (N,). Images of one group stay together.
        val_share: in (0, 1).
        test_share: in (0, 1).

    Returns:
        One of train, val, test, unlabeled for each image, (N,).
    """
    splits = given.copy()
    for name, share in ((TEST, test_share), (VAL, val_share)):
        if not (given == name).any():
            pool = np.flatnonzero(np.isin(splits, (UNASSIGNED, TRAIN)) & (labels >= 0))
            leave = 2 if name == TEST and not (given == VAL).any() else 1
            drawn = draw(pool, labels, groups, share, leave, seed, name)
            if groups is not None:  # with the unlabeled images of their groups
                whole = np.isin(groups, groups[drawn]) & np.isin(splits, (UNASSIGNED, TRAIN, UNLABELED))
                drawn = np.flatnonzero(whole)
            splits[drawn] = name
    splits[splits == UNASSIGNED] = TRAIN
    return splits


def draw(
    pool: NDArray[np.int64],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    share: float,
    leave: int,
    seed: int,
    purpose: str,
) -> NDArray[np.int64]:
    """About `share` of the pool, class by class, in whole groups.

    Without groups: round(share · n) of the n images of a class, at least one and at most n - leave. With groups:
    every group counts for the class most of its images have.
    """
    units = pool if groups is None else groups[pool]
    names, member = np.unique(units, return_inverse=True)
    classes = _majority(labels[pool], member, len(names))
    chosen = np.zeros(len(names), bool)
    shuffled = permutation(seed, f"split {purpose}", 0, len(names))
    for label in np.unique(classes):
        of_class = shuffled[classes[shuffled] == label]
        count = min(max(round(share * len(of_class)), 1), len(of_class) - leave)
        chosen[of_class[: max(count, 0)]] = True
    return pool[chosen[member]]


def _majority(labels: NDArray[np.int64], member: NDArray[np.int64], units: int) -> NDArray[np.int64]:
    """The most frequent label of each unit."""
    if not len(labels):
        return np.zeros(0, np.int64)
    counts = np.zeros((units, labels.max() + 1), np.int64)
    np.add.at(counts, (member, labels), 1)
    return counts.argmax(1)

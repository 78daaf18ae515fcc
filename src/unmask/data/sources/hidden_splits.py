"""Folders that hold training and held-out images by their names, but are not called as splits are."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath

from unmask.data.sources.source import SPLIT_NAMES, TEST, UNLABELED, VAL, held_out_name, training_name, words_of

Below = Mapping[PurePath, Mapping[str, None]]
"""The folders in each folder that hold images, in order."""


@dataclass(frozen=True)
class HiddenSplits:
    """Two folders in one: `training` and `held_out` are their names, `split` is what the second one stands for."""

    parent: PurePath
    training: str
    held_out: str
    split: str


def hidden_splits(paths: Iterable[PurePath], *, known: bool = False) -> HiddenSplits | None:
    """The first folder, from the top, in which training_set lies beside test_set, or the like; None without any.

    Beside other folders, as those of classes, two count only if they are alike: in the rest of their names
    (seg_train, seg_test), or in a folder that both hold.

    Args:
        paths: of images, relative to the data. Those below a folder `unlabeled` are left out.
        known: whether folders called val or test are held out at any depth.
    """
    below: dict[PurePath, dict[str, None]] = {}
    for folder in dict.fromkeys(path.parent for path in paths):
        if folder.parts and SPLIT_NAMES.get(folder.parts[0].lower()) != UNLABELED:
            for depth, name in enumerate(folder.parts):
                below.setdefault(PurePath(*folder.parts[:depth]), {})[name] = None
                if known and name.lower() in SPLIT_NAMES:
                    break
    aside = {UNLABELED, VAL, TEST} if known else {UNLABELED}
    pairs = (_pair(parent, below, aside) for parent in sorted(below, key=lambda one: len(one.parts)))
    return next((pair for pair in pairs if pair is not None), None)


def _pair(parent: PurePath, below: Below, aside: Collection[str]) -> HiddenSplits | None:
    names = [name for name in below[parent] if SPLIT_NAMES.get(name.lower()) not in aside]
    training = [name for name in names if training_name(name)]
    held_out = {name: split for name in names if name not in training and (split := held_out_name(name))}
    alone = len(training) + len(held_out) == len(names)
    pairs = ((one, other) for one in training for other in held_out if alone or _alike(parent, one, other, below))
    return next((HiddenSplits(parent, one, other, held_out[other]) for one, other in pairs), None)


def _alike(parent: PurePath, training: str, held_out: str, below: Below) -> bool:
    rests = [
        [word for word in words_of(name) if not training_name(word) and not held_out_name(word)]
        for name in (training, held_out)
    ]
    shared = below.get(parent / training, {}).keys() & below.get(parent / held_out, {}).keys()
    return bool(shared) or rests[0] == rests[1]

"""Which rows of a source go into which set."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unmask.config.data import DataConfig
from unmask.config.metric import label_form
from unmask.data.fingerprint import Digests, twins_to_leave_out
from unmask.data.sources.source import TEST, TRAIN, UNLABELED, UNREADABLE, VAL, Source
from unmask.data.splits import assign_splits
from unmask.tasks.kinds import AnyTask
from unmask.wording import plural

PRETRAIN = "pretrain"
COPY = "copy"
"""Marks an image that another split keeps, the one nearer to the test."""


def idle_shares(config: DataConfig, source: Source) -> tuple[str, ...]:
    """Return a note for each setting of drawn splits that was changed although the source gives these splits."""
    given = set(source.splits.tolist())
    needs = {"val_share": {VAL}, "test_share": {TEST}, "split_seed": {VAL, TEST}}
    return tuple(
        f"`{name}={getattr(config, name)}` has no effect: the data already have {' and '.join(sorted(splits))} images"
        for name, splits in needs.items()
        if splits <= given and getattr(config, name) != getattr(DataConfig, name)
    )


@dataclass(frozen=True)
class Plan:
    """The fate of every row."""

    source: Source
    splits: NDArray[np.str_]
    """train, val, test or unlabeled, (N,)."""
    good: NDArray[np.bool_]
    """Readable, as far as known, (N,)."""
    twins: dict[int, int]
    """Row → row of the same image in the split nearer to the test."""
    transductive: bool
    idle: tuple[str, ...] = ()
    """Notes about shares and seeds of splits that are not drawn."""

    def rows(self, *names: str) -> NDArray[np.int64]:
        """Readable rows of these splits that are not twins."""
        keep = self.good & np.isin(self.splits, names)
        keep[list(self.twins)] = False
        return np.flatnonzero(keep)

    def labeled(self, name: str) -> NDArray[np.int64]:
        """Labeled rows of a split; all rows if the source has no labels."""
        rows = self.rows(name)
        return rows if self.source.task is None else rows[self.source.task.known(self.source.labels[rows])]

    def sets(self) -> dict[str, NDArray[np.int64]]:
        """Rows of every set by its name; empty ones are left out, except pretrain."""
        sets = {VAL: self.labeled(VAL), TEST: self.labeled(TEST)}
        if self.source.task is not None:
            sets[TRAIN] = self.labeled(TRAIN)
        for name, rows in self.source.extra_tests.items():
            sets[name] = rows[np.isin(rows, sets[TEST])]
        pretrain = np.flatnonzero(self.good) if self.transductive else self.rows(TRAIN, UNLABELED)
        return {PRETRAIN: pretrain} | {name: rows for name, rows in sets.items() if len(rows)}

    def notes(self, *, labels_wanted: bool) -> tuple[str, ...]:
        """What was left out, what could not be drawn, and what pretraining sees."""
        notes = [*self.idle, *self.not_drawn()]
        held_out = len(self.rows(VAL, TEST))
        if not labels_wanted and held_out and not self.transductive:
            notes.append(f"{held_out} validation and test images are kept from pretraining")
        if self.twins:
            row, twin = next(iter(self.twins.items()))
            names = self.source.names
            count = f"{plural(len(self.twins), 'exact duplicate')} across splits"
            pair = f"{names[row]} ({self.splits[row]}) = {names[twin]} ({self.splits[twin]})"
            notes.append(f"{count}, kept only in the split nearest to the test, e.g. {pair}")
        if self.transductive:
            notes.append("transductive: pretraining sees the validation and test images, without their labels")
        return tuple(notes)

    def not_drawn(self) -> tuple[str, ...]:
        """What a drawn test or validation split lacks because a class has too few images or groups to spare one."""
        strata, named = self.source.strata, bool(self.source.classes)
        labeled = {name: set(strata[self.splits == name].tolist()) for name in (TRAIN, VAL, TEST)}
        known = set.union(*labeled.values()) - {-1} if self.source.masks is None else set[int]()
        given = set(self.source.splits.tolist())
        unit, fix = ("images", "label more") if self.source.groups is None else ("groups", "use smaller ones")
        notes = []
        for name, word in ((TEST, "test"), (VAL, "validation")):
            lacking = sorted(known - labeled[name])
            if name in given or not lacking or not (named or len(lacking) == len(known)):
                continue
            needed = 3 if name == TEST and VAL not in given else 2
            first = self.source.classes[lacking[0]] if named else ""
            more = f" and of {len(lacking) - 1} more" if lacking[1:] else ""
            what = f"{word} images of class {first}{more}" if len(lacking) < len(known) else f"{word} images"
            notes.append(f"no {what} could be drawn: a class needs {needed} {unit} for that; {fix}, or give a split")
        return tuple(notes)

    def fates(self) -> NDArray[np.str_]:
        """The split that each row counts in; "copy" where another split keeps the image, "unreadable", (N,)."""
        fates = np.where(self.good, self.splits, UNREADABLE)
        fates[list(self.twins)] = COPY
        return fates

    def missing_classes(self) -> list[str]:
        """Messages about classes, labels and numbers with images in validation or test, but none in training."""
        if self.source.task is not None and label_form(self.source.task.name) in ("names", "numbers"):
            return self._missing_outputs(self.source.task)
        if not self.source.classes or self.source.masks is not None:  # whose images have more than one class
            return []
        trained = set(self.source.labels[self.labeled(TRAIN)].tolist())
        asked = {label for name in (VAL, TEST) for label in self.source.labels[self.labeled(name)].tolist()}
        fates = self.fates()
        messages = []
        for label in sorted(asked - trained):
            of_class = fates[(self.source.labels == label) & (self.splits == TRAIN)]
            copies, unreadable = (int((of_class == fate).sum()) for fate in (COPY, UNREADABLE))
            lost = [f"{copies} are copies of these"] * bool(copies) + [f"{unreadable} unreadable"] * bool(unreadable)
            message = f"class {self.source.classes[label]} has validation or test images, but no training image"
            messages.append(message + (f" (of {len(of_class)}, {', '.join(lost)})" if lost else ""))
        return messages

    def _missing_outputs(self, task: AnyTask) -> list[str]:
        """Labels and numbers that no training image has, although validation or test images do."""
        labels, named = self.source.labels, label_form(task.name) == "names"
        there = labels == 1 if named else ~np.isnan(labels.astype(np.float64))
        trained = there[self.labeled(TRAIN)].any(0)
        asked = there[np.concatenate([self.labeled(name) for name in (VAL, TEST)])].any(0)
        says = (
            "label {} has validation or test images, but no training image"
            if named
            else "{} is known for validation or test images, but for no training image"
        )
        return [says.format(task.names[at]) for at in np.flatnonzero(asked & ~trained).tolist()]


def make_plan(config: DataConfig, source: Source, bad: dict[int, str], digests: Digests) -> Plan:
    """Splits for all rows (readable or not, so that a bad file moves no other), and what is left out of them."""
    good = np.ones(len(source.names), bool)
    good[list(bad)] = False
    splits = assign_splits(
        source.strata,
        source.splits,
        source.groups,
        val_share=config.val_share,
        test_share=config.test_share,
        seed=config.split_seed,
    )
    twins = twins_to_leave_out(digests, np.where(good, splits, UNREADABLE))
    return Plan(source, splits, good, twins, config.transductive, idle_shares(config, source))

"""Findings of a check about multiple labels per image, and numbers: rare ones, ranges, missing values."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unmask.config.metric import label_form
from unmask.data.assignment import Plan
from unmask.data.check.findings import listed
from unmask.data.check.masks import RARE
from unmask.data.sources.source import TEST, TRAIN, VAL
from unmask.evaluate.labels import UNKNOWN


def images_with_labels(plan: Plan) -> dict[str, NDArray[np.bool_]]:
    """By label, which rows have it, (N,); empty for other tasks."""
    task = plan.source.task
    if task is None or label_form(task.name) != "names":
        return {}
    return {name: column == 1 for name, column in zip(task.names, plan.source.labels.T, strict=True)}


def ranges_by_split(plan: Plan) -> dict[str, dict[str, dict[str, float]]]:
    """Number → split → its "min" and "max" there and the share of labeled images where it is "missing"."""
    task = plan.source.task
    if task is None or label_form(task.name) != "numbers":
        return {}
    found: dict[str, dict[str, dict[str, float]]] = {name: {} for name in task.names}
    for split in (TRAIN, VAL, TEST):
        labels = plan.source.labels[plan.labeled(split)].astype(np.float64)
        for name, column in zip(task.names, labels.T, strict=True):
            known = column[~np.isnan(column)]
            ends = {"min": float(known.min()), "max": float(known.max())} if len(known) else {}
            if len(column):
                found[name][split] = {**ends, "missing": float(1 - len(known) / len(column))}
    return found


def label_warnings(plan: Plan) -> list[str]:
    """Labels that few images of a split have, or nearly all; labels with missing entries; numbers out of range."""
    task = plan.source.task
    if task is not None and label_form(task.name) == "names":
        return [line for split in (TRAIN, VAL, TEST) for line in _rare_and_missing(plan, task.names, split)]
    return _out_of_range(ranges_by_split(plan))


def _rare_and_missing(plan: Plan, names: Sequence[str], split: str) -> list[str]:
    labels = plan.source.labels[plan.labeled(split)].astype(np.int64)
    if not len(labels):
        return []
    counts = {"have": (labels == 1).sum(0), "lack": (labels == 0).sum(0)}
    missing = (labels == UNKNOWN).mean(0)
    warnings = []
    for verb, found in counts.items():
        if rare := [f"{name} ({n})" for name, n in zip(names, found.tolist(), strict=True) if n < RARE]:
            warnings.append(f"{split}: fewer than {RARE} images {verb} {listed(rare)}")
    if some := [f"{name} ({share:.0%})" for name, share in zip(names, missing.tolist(), strict=True) if share]:
        warnings.append(f"{split}: unknown for some labeled images: {listed(some)}")
    return warnings


def _out_of_range(ranges: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """What validation and test hold beyond the numbers of training, which a network must extrapolate."""
    warnings = []
    for name, splits in ranges.items():
        known = {split: found for split, found in splits.items() if "min" in found}
        if TRAIN not in known:
            continue
        low, high = known[TRAIN]["min"], known[TRAIN]["max"]
        for split in (VAL, TEST):
            own = known.get(split)
            if own is not None and (own["min"] < low or own["max"] > high):
                warnings.append(
                    f"{split}: {name} ranges from {own['min']:.4g} to {own['max']:.4g}, beyond the {low:.4g} to "
                    f"{high:.4g} of training"
                )
    return warnings

"""Findings of a check about labels, groups, splits and values, beyond files and copies."""

from collections.abc import Sequence

import numpy as np
import torch

from unmask.config.data import DataConfig
from unmask.data.assignment import Plan
from unmask.data.cache import fill_cache
from unmask.data.check.image_facts import Looked
from unmask.data.decoding.image_format import ImageFormat
from unmask.data.sources.source import TEST, TRAIN, VAL
from unmask.data.statistics import channel_ranges, idle_nodata, sample_rows, value_notes, value_range
from unmask.wording import plural

SAMPLE = 256
"""Images whose values are examined again."""
FEW = 100
"""With fewer images in a split, an accuracy is known to ± 10 points or worse."""

_SHOWN = 5


def listed(names: Sequence[str]) -> str:
    """The first few of some names, and how many more there are."""
    return ", ".join(names[:_SHOWN]) + (f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def two_labels(plan: Plan, groups: Sequence[Sequence[int]]) -> list[str]:
    """Images of the same pixels that have different labels, within a split or across."""
    names, task, labels = plan.source.names, plan.source.task, plan.source.labels
    if task is None:
        return []
    known = task.known(labels)
    torn = [group for group in groups if len({labels[row].tobytes() for row in group if known[row]}) > 1]
    if not torn:
        return []
    shown = "; ".join(" = ".join(f"{names[row]} ({_label(plan, row)})" for row in group) for group in torn[:5])
    count = plural(len(torn), "picture")
    return [f"{count} of the same pixels have different labels, of which all but one are wrong: {shown}"]


def _label(plan: Plan, row: int) -> str:
    """The label of an image in words."""
    own, names = plan.source.labels[row], plan.source.task.names if plan.source.task is not None else ()
    if own.ndim == 0:
        return plan.source.classes[own] if own >= 0 else "no label"
    if own.dtype.kind == "f":
        return ", ".join(f"{value:g}" for value in own)
    return ";".join(name for name, one in zip(names, own, strict=True) if one == 1) or ";"


def small_splits(plan: Plan) -> list[str]:
    """Validation and test sets too small to distinguish much, with the precision of an accuracy on them."""
    if not plan.source.classes or plan.source.masks is not None:
        return []
    warnings = []
    for name, word in ((VAL, "validation"), (TEST, "test")):
        count = len(plan.labeled(name))
        if 0 < count < FEW:
            known = f"an accuracy on it is known to ± {98 / count**0.5:.0f} points"
            warnings.append(f"the {word} set has {plural(count, 'labeled image')}: {known}")
    return warnings


def largest_budget(plan: Plan) -> int | None:
    """Labels per class that every class has in training; None without labels."""
    if not plan.source.classes:
        return None
    labels = plan.source.labels[plan.labeled(TRAIN)]
    return int(np.bincount(labels, minlength=len(plan.source.classes)).min()) if len(labels) else 0


def groups_by_split(plan: Plan) -> dict[str, int]:
    """Split → groups of its labeled images; empty if the source has no groups."""
    if plan.source.groups is None:
        return {}
    return {
        name: len(np.unique(plan.source.groups[rows])) for name in (TRAIN, VAL, TEST) if len(rows := plan.labeled(name))
    }


def missing_pixels(found: Sequence[Looked], nodata: float | None) -> list[str]:
    """How many images have missing pixels, or that none has the value that stands for them."""
    shares = [1 - sum(one.counts) / float(np.prod(one.shape)) for one in found]
    count = sum(share > 0 for share in shares)
    if not count:
        return [] if nodata is None else [idle_nodata(nodata)]
    share = 100 * float(np.mean(shares))
    return [f"{count} of {len(found)} images have missing pixels (NaN, no-data or masked), {share:.2g} % of all values"]


def odd_values(config: DataConfig, plan: Plan, wanted: ImageFormat) -> list[str]:
    """What training would say about the values of the pretraining images, from a sample of them."""
    rows = torch.from_numpy(plan.sets()["pretrain"])
    if not len(rows) or wanted.kind == "uint8":
        return []
    values, failed = fill_cache(plan.source, wanted, progress=False, rows=sample_rows(rows, SAMPLE))
    good = torch.as_tensor([row for row in range(len(values)) if row not in failed])
    if not len(good):
        return []
    scale = value_range(values, good, wanted.kind, config.window)
    own = channel_ranges(values, good, wanted.kind, config.window, scale)
    return list(value_notes(values, good, scale, own, clipped=config.window is not None))

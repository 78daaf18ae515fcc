"""Scan a data set before a run: unreadable files, duplicates, and the content of each split."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unmask.config.data import DataConfig
from unmask.config.metric import TaskName, label_form
from unmask.data.assignment import COPY, Plan, make_plan
from unmask.data.bad_files import bad_file_errors
from unmask.data.check.duplicates import same_pixels, saved_again
from unmask.data.check.findings import (
    groups_by_split,
    largest_budget,
    missing_pixels,
    odd_values,
    small_splits,
    two_labels,
)
from unmask.data.check.image_facts import Looked, look
from unmask.data.check.label_findings import images_with_labels, label_warnings, ranges_by_split
from unmask.data.check.masks import MaskFacts, mask_facts, mask_lines, mask_warnings
from unmask.data.headers import summarize
from unmask.data.mask_table import MaskTable, with_masks
from unmask.data.sources.read import read_source
from unmask.data.sources.source import TEST, TRAIN, UNLABELED, UNREADABLE, VAL, Source
from unmask.data.value_units import mixed
from unmask.errors import UserError
from unmask.tasks.segmentation import Segmentation
from unmask.wording import plural, printable

_SMALL = (8, 8)
"""Size at which masks are kept here; their pixels are counted at the original size."""


@dataclass(frozen=True)
class Report:
    """What a check found. Plain values, ready for JSON."""

    data: str
    images: int
    """Listed images, readable or not."""
    task: TaskName | None
    """What is to be learned of them; None if they have no labels."""
    errors: tuple[str, ...]
    """What would make training fail."""
    warnings: tuple[str, ...]
    """What training would skip or get wrong silently."""
    unreadable: tuple[str, ...]
    """One message per file."""
    forms: dict[str, int]
    """"3 channels, 8-bit" → images."""
    sizes: dict[str, int]
    """"480x640" (height x width) → images; the ten most frequent."""
    different_sizes: int
    classes: dict[str, dict[str, int]]
    """Class → split → images, as in `splits`; of masks the images that show the class,
    of several labels those that have the label."""
    numbers: dict[str, dict[str, dict[str, float]]]
    """Number to be learned → split → "min", "max" and the share of labeled images where it is "missing"."""
    splits: dict[str, int]
    """Split → images that count in it; "copy": images that a split nearer to the test keeps; "unreadable"."""
    largest_budget: int | None
    """Labels per class that every class has in training; None without labels."""
    masks: MaskFacts | None
    """Contents of the masks; None without masks."""
    groups: dict[str, int]
    """Split → groups in it; empty if there are none."""
    exact_duplicates: tuple[tuple[str, ...], ...]
    """Images of the same pixels in different splits."""
    saved_again: tuple[tuple[str, str], ...]
    """Pairs in different splits that show the same picture, re-saved."""
    duplicates_within_splits: int
    """Images that repeat another one of their split."""
    channels: tuple[dict[str, float], ...]
    """Mean, standard deviation, minimum and maximum of each channel over all images with the usual channel count."""


def check_data(config: DataConfig, *, progress: bool = True) -> Report:
    """Decode every image once and report.

    Raises:
        UserError: there is nothing to check.
    """
    source, notes = _source(config)
    source, masks = with_masks(source, _SMALL, progress=progress)
    looked = look(source, progress=progress)
    unread = {row: found for row, found in enumerate(looked) if isinstance(found, str)}
    failed = unread if masks is None else masks.bad | unread
    good = {row: found for row, found in enumerate(looked) if isinstance(found, Looked)}
    digests = [found.digest if isinstance(found, Looked) else b"" for found in looked]
    plan = make_plan(config, source, failed, np.asarray(digests, "S16"))
    groups = same_pixels([digest or None for digest in digests])
    across = [group for group in groups if len(set(plan.splits[group].tolist())) > 1]
    pairs = _saved_again(len(looked), plan.splits, good)
    shapes = Counter(f"{found.shape[1]}x{found.shape[2]}" for found in good.values())
    forms = Counter(_form(found) for found in good.values())
    seen = summarize(Counter(found.header for found in good.values()), failed, config)
    errors = bad_file_errors(config, source.damaged, len(source.names), failed)
    errors += [*plan.missing_classes(), *_channel_errors(config, forms), *_unit_errors(source.names, good)]
    warnings = [*source.notes, *notes, *seen.notes(), *missing_pixels(list(good.values()), config.nodata)]
    warnings += [] if errors else odd_values(config, plan, seen.format)
    warnings += [*_of_splits(plan, masks, groups), *_duplicate_warnings(source.names, plan.splits, across, pairs)]
    return Report(
        data=config.data,
        images=len(source.names),
        task=Segmentation.name if masks is not None else None if source.task is None else source.task.name,
        errors=tuple(errors),
        warnings=tuple(warnings),
        unreadable=(*source.damaged, *failed.values()),
        forms=dict(forms.most_common()),
        sizes=dict(shapes.most_common(10)),
        different_sizes=len(shapes),
        classes=_classes(plan, masks),
        numbers=ranges_by_split(plan),
        splits=_counted(plan.fates()),
        largest_budget=largest_budget(plan) if masks is None else None,
        masks=mask_facts(plan, masks),
        groups=groups_by_split(plan),
        exact_duplicates=tuple(tuple(source.names[row] for row in group) for group in across),
        saved_again=tuple((source.names[i], source.names[j]) for i, j in pairs),
        duplicates_within_splits=sum(len(group) - len(set(plan.splits[group].tolist())) for group in groups),
        channels=_channels(list(good.values())),
    )


def _source(config: DataConfig) -> tuple[Source, list[str]]:
    """The source with labels if it has them; else without, and a note."""
    try:
        return read_source(config, labels=True), []
    except UserError as error:
        return read_source(config, labels=False), [f"for pretraining only: {error}"]


def _of_splits(plan: Plan, masks: MaskTable | None, same: list[list[int]]) -> list[str]:
    """Warnings about splits and labels; `same`: images of the same pixels."""
    warnings = [*plan.idle, *plan.not_drawn(), *small_splits(plan), *mask_warnings(plan, masks), *label_warnings(plan)]
    return warnings + (two_labels(plan, same) if masks is None else [])


def _classes(plan: Plan, masks: MaskTable | None) -> dict[str, dict[str, int]]:
    """Class or label → split → images of it, or, of masks, that show it."""
    source, fates = plan.source, plan.fates()
    rows = {
        name: source.labels == label if masks is None else masks.pixels[:, label] > 0
        for label, name in enumerate(source.classes)
    }
    return {name: _counted(fates[which]) for name, which in (rows | images_with_labels(plan)).items()}


def _counted(fates: np.ndarray) -> dict[str, int]:
    """The number of images with each fate, in the order of work."""
    counts = Counter(fates.tolist())
    return {name: counts[name] for name in (TRAIN, VAL, TEST, UNLABELED, COPY, UNREADABLE) if counts[name]}


def _form(found: Looked) -> str:
    depth = {"uint8": "8-bit", "uint16": "16-bit", "float32": "float"}[found.kind]
    return f"{plural(found.shape[0], 'channel')}, {depth}"


def _channel_errors(config: DataConfig, forms: Counter[str]) -> list[str]:
    """One error per number of channels that cannot become the common one."""
    errors = []
    counts = {form.split()[0] for form in forms}
    wanted = str(config.channels) if config.channels else max(counts, key=int, default="1")
    for count in sorted(counts - {wanted, "1"}, key=int):
        if (count, wanted) != ("3", "1"):
            errors.append(f"images with {count} and with {wanted} channels have no common form")
    return errors


def _unit_errors(names: Sequence[str], good: dict[int, Looked]) -> list[str]:
    """An error if integers, which count from 0 to 1 beside floats, lie beside floats of another range."""
    floats = {row: found for row, found in good.items() if found.header.keeps_floats}
    integers = next((row for row in good if row not in floats), None)
    if integers is None or not floats:
        return []
    low, high = min(found.low for found in floats.values()), max(found.high for found in floats.values())
    return [] if low >= 0 and high <= 1 else [mixed(names[integers], names[next(iter(floats))], low, high)]


def _duplicate_warnings(
    names: Sequence[str], splits: np.ndarray, across: list[list[int]], pairs: list[tuple[int, int]]
) -> list[str]:
    def where(rows: list[int]) -> str:
        """Copies of one image, each with its split."""
        return " = ".join(f"{names[row]} ({splits[row]})" for row in rows)

    warnings = []
    if across:
        extra = sum(len(group) - 1 for group in across)
        warnings.append(
            f"{plural(extra, 'exact duplicate')} across splits: {'; '.join(map(where, across[:5]))}; training "
            "keeps each only in the split nearest to the test"
        )
    if pairs:
        shown = "; ".join(where(list(pair)) for pair in pairs[:5])
        warnings.append(f"{plural(len(pairs), 'pair')} across splits look like re-saved copies: {shown}")
    return warnings


def _saved_again(count: int, splits: np.ndarray, good: dict[int, Looked]) -> list[tuple[int, int]]:
    """Pairs across splits that are not exact duplicates already."""
    thumbnails = np.full((count, 256), np.nan, np.float32)
    for row, found in good.items():
        thumbnails[row] = found.thumbnail
    return [(i, j) for i, j in saved_again(thumbnails, splits) if good[i].digest != good[j].digest]


def _channels(found: list[Looked]) -> tuple[dict[str, float], ...]:
    if not found:
        return ()
    count = Counter(len(item.mean) for item in found).most_common(1)[0][0]
    usual = [item for item in found if len(item.mean) == count]
    values = np.asarray([item.counts for item in usual], np.float64)
    weights = values / np.maximum(values.sum(0), 1)
    mean = (weights * np.asarray([item.mean for item in usual])).sum(0)
    square = (weights * np.asarray([item.square for item in usual])).sum(0)
    low, high = min(item.low for item in usual), max(item.high for item in usual)
    return tuple(
        {"mean": float(m), "std": math.sqrt(max(float(s - m * m), 0.0)), "min": low, "max": high}
        for m, s in zip(mean, square, strict=True)
    )


def _what(report: Report) -> str:
    """What is learned of the images, counted."""
    if report.numbers:
        return f"{plural(len(report.numbers), 'number')} to learn"
    return f"{len(report.classes)} {'labels' if label_form(report.task) == 'names' else 'classes'}"


def as_text(report: Report) -> str:
    """The report in words: problems last, where they are seen."""
    sizes = ", ".join(f"{size}: {n}" for size, n in report.sizes.items())
    others = report.different_sizes - len(report.sizes)
    more = f", and {plural(others, 'other size')}" if others else ""
    lines = [
        f"{report.data}: {plural(report.images, 'image')}, {_what(report)}",
        "forms: " + ", ".join(f"{form}: {n}" for form, n in report.forms.items()),
        f"sizes (height x width): {sizes}{more}",
        "splits: " + ", ".join(f"{split} {n}" for split, n in report.splits.items()),
    ]
    if report.groups:
        lines.append("groups: " + ", ".join(f"{split} {n}" for split, n in report.groups.items()))
    if report.largest_budget is not None:
        lines.append(f"largest budget: {plural(report.largest_budget, 'label')} per class")
    kind = "label" if label_form(report.task) == "names" else "class"
    lines += [f"{kind} {name}: " + ", ".join(f"{s} {n}" for s, n in c.items()) for name, c in report.classes.items()]
    lines += [
        f"{name} in {split}: " + ", ".join(f"{key} {value:.4g}" for key, value in found.items())
        for name, splits in report.numbers.items()
        for split, found in splits.items()
    ]
    lines += mask_lines(report.masks)
    for i, channel in enumerate(report.channels):
        lines.append(f"channel {i}: " + ", ".join(f"{name} {value:.4g}" for name, value in channel.items()))
    if report.duplicates_within_splits:
        repeats = plural(report.duplicates_within_splits, "image repeats", "images repeat")
        lines.append(f"{repeats} another one of their own split")
    lines += [f"unreadable: {message}" for message in report.unreadable]
    lines += [f"warning: {message}" for message in report.warnings]
    lines += [f"error: {message}" for message in report.errors]
    return "\n".join([*map(printable, lines), "training would fail" if report.errors else "fit for training"])

"""From a configuration to a data set that is ready for training: read, split, freed of twins, measured."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unmask.config.data import DataConfig
from unmask.data.cache import fill_cache, stored_bytes
from unmask.data.content import Digests, digest_rows, digest_stored, fingerprint, twins_to_leave_out
from unmask.data.given import Given, called_after, read_given
from unmask.data.image_format import ImageFormat
from unmask.data.imageset import ImageSet
from unmask.data.pixels import CachedPixels, Pixels, StreamedPixels
from unmask.data.plan import PRETRAIN, Plan
from unmask.data.read import read_source
from unmask.data.scan import scan
from unmask.data.source import TRAIN, UNREADABLE, VAL, Source
from unmask.data.splits import assign_splits
from unmask.data.statistics import channel_statistics, sample_rows, value_range
from unmask.data.texts import take
from unmask.errors import UserError


@dataclass(frozen=True)
class Dataset:
    """All splits of a data set, in one format."""

    pretrain: ImageSet
    """What pretraining may see: all images neither in val nor in a test, nor twins of such; all if transductive."""
    train: ImageSet | None
    """Labelled training images; None where there are no labels."""
    val: ImageSet | None
    """Validation images; None where there are none."""
    tests: dict[str, ImageSet]
    """Test sets by name: "test" where there are labels; multiview adds "multi", "single_1", ..."""
    classes: tuple[str, ...]
    format: ImageFormat
    """Of all images; range, mean and standard deviation are those of the pretraining images."""
    fingerprint: str
    """Changes with any pixel, label or split."""
    notes: tuple[str, ...]
    """What a user should be told."""
    bad_files: tuple[str, ...]
    """One message for each file left out as unreadable."""
    groups: torch.Tensor | None = None
    """Group of each image of `train`, int64; None where the source has no groups."""
    val_groups: torch.Tensor | None = None
    """The same of `val`."""


def load_data(config: DataConfig, *, labels: bool, progress: bool = True, given: Given | None = None) -> Dataset:
    """Read, decode, split and measure a data set.

    Args:
        config: where it is and in which form it is wanted.
        labels: whether class labels are needed. Without, unlabelled images will do; labels that are there still
            decide the splits, so that pretraining never sees an image that a later comparison tests on.
        progress: show a progress bar while files are decoded.
        given: a torch Dataset (or several by split, {"train": ..., "test": ...}) to take instead of what
            `config.data` names.

    Raises:
        UserError: nothing there, unreadable (policy "error"), or not of a supported layout.
    """
    if given is not None:
        source = read_given(given, called_after(config, given).data, labels=labels)
    else:
        source = read_source(config, labels=labels, progress=progress)
    require_whole(config, source)
    found = scan(source, config, progress=progress)
    format, bad = found.format, found.bad
    _apply_policy(config, len(source.names), bad)
    values = None
    if stored_bytes(len(source.names), format) <= config.cache_mib * 2**20:
        values, failed = fill_cache(source.images, format, progress=progress)
        bad = bad | failed
        _apply_policy(config, len(source.names), bad)
    digests = digest_stored(source.images) if values is None else digest_rows(values)
    plan = make_plan(config, source, bad, digests)
    if labels and (missing := plan.missing_classes()):
        raise UserError(f"{config.data}: {missing[0]}")
    format = _measure(config, plan, format, values)
    pixels = StreamedPixels(source.images, format) if values is None else CachedPixels(values, format)
    stored_as = (format.size, format.channels, format.kind, format.value_range)
    sets = {name: image_set(config, source, pixels, rows) for name, rows in plan.sets().items()}
    return Dataset(
        pretrain=sets.pop(PRETRAIN),
        train=sets.pop(TRAIN, None),
        val=sets.pop(VAL, None),
        tests=sets,
        classes=source.classes,
        format=format,
        fingerprint=fingerprint(digests, source.labels, plan.splits, *stored_as),
        notes=source.notes + found.note() + plan.notes(labels_wanted=labels),
        bad_files=(*source.damaged, *bad.values()),
        groups=None if source.groups is None else torch.from_numpy(source.groups[plan.labelled(TRAIN)]),
        val_groups=None if source.groups is None else torch.from_numpy(source.groups[plan.labelled(VAL)]),
    )


def recorded(config: DataConfig, dataset: Dataset | Given | None) -> DataConfig:
    """What a run's config.json says of its data: "given:NAME" where a torch Dataset is handed over."""
    return config if dataset is None or isinstance(dataset, Dataset) else called_after(config, dataset)


def loaded(config: DataConfig, dataset: Dataset | Given | None, *, labels: bool, progress: bool) -> Dataset:
    """A data set that is loaded already, or else `load_data` of what is handed over or named."""
    if isinstance(dataset, Dataset):
        return dataset
    return load_data(config, labels=labels, progress=progress, given=dataset)


def make_plan(config: DataConfig, source: Source, bad: dict[int, str], digests: Digests) -> Plan:
    """Splits for all rows (readable or not, so that a bad file moves no other), and what is left out of them."""
    good = np.ones(len(source.names), bool)
    good[list(bad)] = False
    splits = assign_splits(
        source.labels,
        source.splits,
        source.groups,
        val_share=config.val_share,
        test_share=config.test_share,
        seed=config.split_seed,
    )
    twins = twins_to_leave_out(digests, np.where(good, splits, UNREADABLE))
    return Plan(source, splits, good, twins, config.transductive)


def require_whole(config: DataConfig, source: Source) -> None:
    """Raise `UserError` where a shard is damaged and the policy is "error"."""
    if source.damaged and config.on_bad_file == "error":
        raise UserError(f"{source.damaged[0]}; --on-bad-file skip goes on with what comes before")


def _apply_policy(config: DataConfig, count: int, bad: dict[int, str]) -> None:
    """Raise `UserError` where bad files must stop us: by policy, or because nothing is left."""
    if bad and (config.on_bad_file == "error" or len(bad) == count):
        first = next(iter(bad.values()))
        more = f" ({len(bad)} of {count} files are unreadable)" if len(bad) > 1 else ""
        mend = "" if len(bad) == count else "; --on-bad-file skip leaves such files out"
        raise UserError(f"{'no readable image: ' if len(bad) == count else ''}{first}{more}{mend}")


def _measure(config: DataConfig, plan: Plan, plain: ImageFormat, values: Tensor | None) -> ImageFormat:
    """The format with value range, mean and deviation of the pretraining images; of a sample if they are streamed."""
    rows = torch.from_numpy(plan.sets()[PRETRAIN])
    if not len(rows):
        raise UserError(f"{config.data}: no image is left for training")
    if values is None:
        values, failed = fill_cache(plan.source.images, plain, progress=False, rows=sample_rows(rows))
        _apply_policy(config, len(values), failed)
        rows = torch.as_tensor([row for row in range(len(values)) if row not in failed])
    scale = value_range(values, rows, plain.kind, config.window)
    clipped = config.window is not None
    mean, std = channel_statistics(values, rows, scale, clip=clipped)
    return replace(plain, value_range=scale, clipped=clipped, mean=mean, std=std)


def image_set(config: DataConfig, source: Source, pixels: Pixels, rows: NDArray[np.int64]) -> ImageSet:
    """The images of some rows of a source, with their labels and names."""
    at = torch.from_numpy(rows)
    return ImageSet(
        pixels=pixels,
        rows=at,
        labels=torch.from_numpy(source.labels)[at],
        ids=at,
        names=take(source.names, rows),
        workers=config.workers,
        on_bad_file=config.on_bad_file,
    )

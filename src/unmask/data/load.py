"""From a configuration to a data set that is ready for training: read, split, freed of twins, measured."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unmask.config.data import DataConfig
from unmask.data.arrays import read_arrays
from unmask.data.cache import fill_cache, stored_bytes
from unmask.data.content import Digests, digest_rows, digest_stored, fingerprint, twins_to_leave_out
from unmask.data.digits import digits
from unmask.data.fashion_mnist import fashion_mnist
from unmask.data.folder import read_folder
from unmask.data.form import Form, Kind
from unmask.data.imageset import ImageSet
from unmask.data.manifest import read_manifest
from unmask.data.multiview import read_multiview
from unmask.data.pixels import CachedPixels, Pixels, StreamedPixels
from unmask.data.plan import PRETRAIN, Plan
from unmask.data.scan import choose_form
from unmask.data.source import TRAIN, UNREADABLE, VAL, Source
from unmask.data.splits import assign_splits
from unmask.data.statistics import channel_statistics, sample_rows, value_range
from unmask.data.texts import take
from unmask.errors import UserError


@dataclass(frozen=True)
class Dataset:
    """All splits of a data set, in one form."""

    pretrain: ImageSet
    """What pretraining may see: all images neither in val nor in a test, nor twins of such; all if transductive."""
    train: ImageSet | None
    """Labelled training images; None where there are no labels."""
    val: ImageSet | None
    """Validation images; None where there are none."""
    tests: dict[str, ImageSet]
    """Test sets by name: "test" where there are labels; multiview adds "multi", "single_1", ..."""
    classes: tuple[str, ...]
    channels: int
    image_size: tuple[int, int]
    mean: tuple[float, ...]
    """Per channel over the pretraining images, in 0..1 units."""
    std: tuple[float, ...]
    """Per channel over the pretraining images, in 0..1 units."""
    value_range: tuple[float, float]
    """Stored values that count as 0 and 1: (0, 255) for 8 bits, (0, 65535) for 16, else measured in pretraining."""
    clipped: bool
    """Whether stored values beyond count as 0 and 1, too (DataConfig.window)."""
    fingerprint: str
    """Changes with any pixel, label or split."""
    notes: tuple[str, ...]
    """What a user should be told."""
    bad_files: tuple[str, ...]
    """One message for each file left out as unreadable."""
    groups: torch.Tensor | None = None
    """Group of each image of `train`, int64; None where the source has no groups."""
    kind: Kind | None = None
    """Number type of the stored values, in whose units `value_range` is; None where unknown."""


def load_data(config: DataConfig, *, labels: bool, progress: bool = True) -> Dataset:
    """Read, decode, split and measure a data set.

    Args:
        config: where it is and in which form it is wanted.
        labels: whether class labels are needed. Without, unlabelled images will do; labels that are there still
            decide the splits, so that pretraining never sees an image that a later comparison tests on.
        progress: show a progress bar while files are decoded.

    Raises:
        UserError: nothing there, unreadable (policy "error"), or not of a supported layout.
    """
    source = read_source(config, labels=labels)
    form, bad = choose_form(source, config, progress=progress)
    _apply_policy(config, len(source.names), bad)
    values = None
    if stored_bytes(len(source.names), form) <= config.cache_mib * 2**20:
        values, failed = fill_cache(source.images, form, progress=progress)
        bad = bad | failed
        _apply_policy(config, len(source.names), bad)
    digests = digest_stored(source.images) if values is None else digest_rows(values)
    plan = make_plan(config, source, bad, digests)
    if labels and (missing := plan.missing_classes()):
        raise UserError(f"{config.data}: class {missing[0]} has validation or test images, but no training image")
    pixels, mean, std = _measure(config, plan, form, values)
    sets = {name: image_set(config, source, pixels, rows) for name, rows in plan.sets().items()}
    return Dataset(
        pretrain=sets.pop(PRETRAIN),
        train=sets.pop(TRAIN, None),
        val=sets.pop(VAL, None),
        tests=sets,
        classes=source.classes,
        channels=form.channels,
        image_size=form.size,
        mean=mean,
        std=std,
        value_range=pixels.scale,
        clipped=pixels.clip,
        fingerprint=fingerprint(digests, source.labels, plan.splits, form, pixels.scale),
        notes=source.notes + plan.notes(labels_wanted=labels),
        bad_files=tuple(bad.values()),
        groups=None if source.groups is None else torch.from_numpy(source.groups[plan.labelled(TRAIN)]),
        kind=form.kind,
    )


def read_source(config: DataConfig, *, labels: bool) -> Source:
    """The data set a configuration names: a built-in, or a path. Files are listed, not opened.

    Raises:
        UserError: no such thing, or not of a supported layout.
    """
    if config.data == "multiview":
        return read_multiview(config.options or {})
    if config.data == "digits":
        return digits()
    if config.data == "fashion-mnist":
        return fashion_mnist()
    path = Path(config.data)
    if path.is_dir():
        return read_folder(path, labels=labels, page=config.page, pages_are_channels=config.pages_are_channels)
    if path.suffix.lower() in (".csv", ".tsv", ".parquet") and path.is_file():
        return read_manifest(path, labels=labels, page=config.page, pages_are_channels=config.pages_are_channels)
    if path.suffix.lower() in (".npy", ".npz") and path.is_file():
        return read_arrays(path, labels=labels)
    raise UserError(
        f"data: {config.data} is no folder, no .csv, .tsv, .parquet, .npy or .npz file, and no built-in "
        "(multiview, digits, fashion-mnist)"
    )


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


def _apply_policy(config: DataConfig, count: int, bad: dict[int, str]) -> None:
    """Raise `UserError` where bad files must stop us: by policy, or because nothing is left."""
    if bad and (config.on_bad_file == "error" or len(bad) == count):
        first = next(iter(bad.values()))
        more = f" ({len(bad)} of {count} files are unreadable)" if len(bad) > 1 else ""
        mend = "" if len(bad) == count else "; --on-bad-file skip leaves such files out"
        raise UserError(f"{'no readable image: ' if len(bad) == count else ''}{first}{more}{mend}")


def _measure(
    config: DataConfig, plan: Plan, form: Form, values: Tensor | None
) -> tuple[CachedPixels | StreamedPixels, tuple[float, ...], tuple[float, ...]]:
    """Value range, mean and standard deviation over the pretraining images; for streamed data over a sample of them."""
    rows = torch.from_numpy(plan.sets()[PRETRAIN])
    if not len(rows):
        raise UserError(f"{config.data}: no image is left for training")
    known = values
    if known is None:
        known, failed = fill_cache(plan.source.images, form, progress=False, rows=sample_rows(rows))
        _apply_policy(config, len(known), failed)
        rows = torch.as_tensor([row for row in range(len(known)) if row not in failed])
    scale = value_range(known, rows, form.kind, config.window)
    clip = config.window is not None
    mean, std = channel_statistics(known, rows, scale, clip=clip)
    if values is None:
        return StreamedPixels(plan.source.images, form, scale, clip), mean, std
    return CachedPixels(values, scale, clip), mean, std


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

"""From a configuration to a data set that is ready for training: read, split, freed of twins, measured."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from unmask.config.data import DataConfig
from unmask.data.cache import fill_cache
from unmask.data.content import digest_rows, fingerprint, twins_to_leave_out
from unmask.data.digits import digits
from unmask.data.fashion_mnist import fashion_mnist
from unmask.data.folder import read_folder
from unmask.data.imageset import ImageSet
from unmask.data.multiview import read_multiview
from unmask.data.pixels import CachedPixels, Pixels
from unmask.data.scan import choose_form
from unmask.data.source import TEST, TRAIN, UNLABELLED, UNREADABLE, VAL, Source
from unmask.data.splits import assign_splits
from unmask.data.statistics import channel_statistics, value_range
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
    """Stored values that count as 0 and 1: (0, 255) for 8 bits, (0, 65535) for 16, measured for other floats."""
    fingerprint: str
    """Changes with any pixel, label or split."""
    notes: tuple[str, ...]
    """What a user should be told."""
    bad_files: tuple[str, ...]
    """One message for each file left out as unreadable."""
    groups: torch.Tensor | None = None
    """Group of each image of `train`, int64; None where the source has no groups."""


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
    form, unreadable = choose_form(source, config, progress=progress)
    values, failed = fill_cache(source.images, form, progress=progress)
    bad = unreadable | failed
    if bad and config.on_bad_file == "error":
        raise UserError(next(iter(bad.values())))
    good = np.asarray([row not in bad for row in range(len(source.names))])
    if not good.any():
        first = next(iter(bad.values()), "the list is empty")
        raise UserError(f"{config.data}: no readable image among {len(good)} files; the first: {first}")
    splits = assign_splits(
        source.labels,
        source.splits,
        source.groups,
        val_share=config.val_share,
        test_share=config.test_share,
        seed=config.split_seed,
    )
    digests = digest_rows(values)
    twins = twins_to_leave_out(digests, np.where(good, splits, UNREADABLE))
    plan = _Plan(splits, good, twins, transductive=config.transductive)
    scale = value_range(values, plan.pretrain, form.kind)
    mean, std = channel_statistics(values, plan.pretrain, scale)
    pixels = CachedPixels(values, scale)
    sets = {name: _image_set(source, pixels, rows, config) for name, rows in plan.sets(source).items()}
    train = torch.as_tensor(plan.of(TRAIN, labelled=source.labels))
    return Dataset(
        pretrain=sets.pop("pretrain"),
        train=sets.pop(TRAIN, None),
        val=sets.pop(VAL, None),
        tests=sets,
        classes=source.classes,
        channels=form.channels,
        image_size=form.size,
        mean=mean,
        std=std,
        value_range=scale,
        fingerprint=fingerprint(digests, source.labels, splits, form),
        notes=source.notes + plan.notes(source.names),
        bad_files=tuple(bad.values()),
        groups=None if source.groups is None else torch.from_numpy(source.groups)[train],
    )


def read_source(config: DataConfig, *, labels: bool) -> Source:
    """The data set a configuration names: a built-in, or a path.

    Raises:
        UserError: no such thing.
    """
    if config.data == "multiview":
        return read_multiview(config.options or {})
    if config.data == "digits":
        return digits()
    if config.data == "fashion-mnist":
        return fashion_mnist()
    path = Path(config.data)
    if path.is_dir():
        return read_folder(path, labels=labels)
    raise UserError(f"data: {config.data} is no folder, file or built-in (multiview, digits, fashion-mnist)")


@dataclass(frozen=True)
class _Plan:
    """Which rows go where."""

    splits: NDArray[np.str_]
    good: NDArray[np.bool_]
    twins: dict[int, int]
    transductive: bool

    def of(self, *names: str, labelled: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Readable rows of these splits that are no twins, all or the labelled ones."""
        keep = self.good & np.isin(self.splits, names)
        keep[list(self.twins)] = False
        return np.flatnonzero(keep if labelled is None else keep & (labelled >= 0))

    @property
    def pretrain(self) -> torch.Tensor:
        """Rows that pretraining may see."""
        return torch.from_numpy(np.flatnonzero(self.good) if self.transductive else self.of(TRAIN, UNLABELLED))

    def sets(self, source: Source) -> dict[str, NDArray[np.int64]]:
        """Rows of every set by its name; empty ones left out, except pretrain."""
        labelled = source.labels
        sets = {TRAIN: self.of(TRAIN, labelled=labelled), VAL: self.of(VAL), TEST: self.of(TEST)}
        extra = {name: rows[np.isin(rows, sets[TEST])] for name, rows in source.extra_tests.items()}
        return {"pretrain": self.pretrain.numpy()} | {name: rows for name, rows in (sets | extra).items() if len(rows)}

    def notes(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """What was left out."""
        if not self.twins:
            return ()
        row, twin = next(iter(self.twins.items()))
        count = f"{len(self.twins)} exact duplicate{'s' * (len(self.twins) > 1)} across splits"
        example = f"{names[row]} ({self.splits[row]}) = {names[twin]} ({self.splits[twin]})"
        return (f"{count}, kept only in the split nearest to the test, e.g. {example}",)


def _image_set(source: Source, pixels: Pixels, rows: NDArray[np.int64], config: DataConfig) -> ImageSet:
    at = torch.from_numpy(rows)
    return ImageSet(
        pixels=pixels,
        rows=at,
        labels=torch.from_numpy(source.labels)[at],
        ids=at,
        names=tuple(source.names[row] for row in rows.tolist()),
        workers=config.workers,
        on_bad_file=config.on_bad_file,
    )

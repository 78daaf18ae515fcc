"""From a configuration to a data set that is ready for training: read, split, deduplicated across splits, measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from unmask.config.data import DataConfig
from unmask.data.assignment import PRETRAIN, Plan, idle_shares
from unmask.data.bad_files import bad_file_errors, require_readable
from unmask.data.cache import fill_cache, stored_bytes
from unmask.data.decoding.image_format import ImageFormat
from unmask.data.decoding.reading import reading_of
from unmask.data.fingerprint import (
    Digests,
    digest,
    digest_rows,
    digest_stored,
    digest_streamed,
    fingerprint,
    twins_to_leave_out,
)
from unmask.data.headers import scan
from unmask.data.imageset import ImageSet, Lost
from unmask.data.known_parts import ImageParts
from unmask.data.mask_table import MaskTable, read_masks
from unmask.data.pixels import CachedPixels, Pixels, StreamedPixels
from unmask.data.sources.read import read_source
from unmask.data.sources.source import TRAIN, UNREADABLE, VAL, Source
from unmask.data.sources.torch_dataset import PREFIX, Given, read_given
from unmask.data.splits import assign_splits
from unmask.data.statistics import (
    channel_ranges,
    channel_statistics,
    missing_notes,
    sample_rows,
    value_notes,
    value_range,
)
from unmask.data.string_table import take
from unmask.errors import UserError
from unmask.tasks.classification import Classification
from unmask.tasks.kinds import AnyTask
from unmask.tasks.segmentation import Segmentation

ALL = "all"
"""Name of the set of every readable image."""


@dataclass(frozen=True)
class Dataset:
    """All splits of a data set, in one format."""

    readable: ImageSet
    """Every readable image, whatever its split."""
    pretrain: ImageSet
    """Everything but validation and test images and exact copies of them; everything if transductive."""
    train: ImageSet | None
    """Labeled training images; None where there are no labels."""
    val: ImageSet | None
    """Validation images; None where there are none."""
    tests: dict[str, ImageSet]
    """Test sets by name: "test" where there are labels; multiview adds "multi", "single_1", ..."""
    task: AnyTask | None
    """What is learnt of the images; None where they have no labels."""
    format: ImageFormat
    """Of all images; range, mean and standard deviation are those of the pretraining images."""
    fingerprint: str
    """Changes with any file, label, split or way of reading; not with where images are, nor with the cache."""
    notes: tuple[str, ...]
    """What a user should be told."""
    bad_before: tuple[str, ...]
    """One message for each file left out as unreadable when the data were loaded."""
    groups: torch.Tensor | None = None
    """Group of each image of `train`, int64; None where the source has no groups."""
    val_groups: torch.Tensor | None = None
    """The same of `val`."""
    listed_groups: torch.Tensor | None = None
    """The same of every image as listed, by its id, readable or not."""
    parts: ImageParts | None = None
    """The parts that images show, by their ids, where that is known."""

    lost: Lost = field(default_factory=Lost)
    """Files that could be read when the data were loaded, and could not be later on."""

    @property
    def bad_files(self) -> tuple[str, ...]:
        """One message for each file left out as unreadable, so far."""
        return (*self.bad_before, *self.lost.messages)

    def normalized_as(self, format: ImageFormat) -> "Dataset":
        """The same images by the mean and deviation of another format, which is equal otherwise."""
        if format == self.format:
            return self

        def of(images: ImageSet) -> ImageSet:
            return replace(images, pixels=replace(images.pixels, format=format))  # type: ignore[type-var]

        return replace(
            self,
            readable=of(self.readable),
            pretrain=of(self.pretrain),
            train=None if self.train is None else of(self.train),
            val=None if self.val is None else of(self.val),
            tests={name: of(images) for name, images in self.tests.items()},
            format=format,
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes; empty where there are none."""
        return self.task.classes if isinstance(self.task, Classification) else ()

    @property
    def class_sizes(self) -> tuple[int, ...]:
        """Labeled training images of each class; of another task all of them."""
        if self.train is None or not self.classes:
            return () if self.train is None else (len(self.train),)
        labels = self.train.labels
        return tuple(torch.bincount(labels[labels >= 0], minlength=len(self.classes)).tolist())

    def images(self, name: str) -> ImageSet:
        """A set by its name: "all" readable images, "pretrain", "train", "val", "test" or another test set.

        Raises:
            UserError: there is no such set.
        """
        sets = {ALL: self.readable, PRETRAIN: self.pretrain, TRAIN: self.train, VAL: self.val, **self.tests}
        found = sets.get(name)
        if found is None:
            there = ", ".join(name for name, images in sets.items() if images is not None)
            raise UserError(f"split = {name!r}: the data have {there}")
        return found


def load_data(
    config: DataConfig,
    *,
    labels: bool,
    progress: bool = True,
    given: Dataset | Given | Source | None = None,
    format: ImageFormat | None = None,
    limit: int | None = None,
    wanted: str | None = None,
) -> Dataset:
    """Read, decode, split and measure a data set.

    Args:
        config: where it is and in which format it is wanted.
        labels: whether class labels are needed. Without, unlabeled images will do; labels that are there still
            decide the splits, so that pretraining never sees an image that a later comparison tests on.
        progress: show a progress bar while files are decoded.
        given: taken instead of what `config.data` names: a torch Dataset, several by split, {"train": ..., "test":
            ...}, a source, or what this function returned, which is returned as it is.
        format: the format that images are brought to, where it is known, as that of a trained network; nothing is
            measured then.
        limit: read at most so many images, spread evenly over the data.
        wanted: the only set that will be taken of it. Where that is neither training nor validation images, copies in
            other splits do not matter: images that do not fit the cache are then not decoded to find them.

    Raises:
        UserError: nothing there, unreadable (policy "error"), not of a supported layout, or not in the range of
            values of the given format.
    """
    if isinstance(given, Dataset):
        return given
    if format is not None:
        config = replace(config, image_size=format.size, channels=format.channels)
    source = _source(config, given, labels=labels, progress=progress)
    source = source if limit is None else source.evenly(limit)
    pixels, bad, notes = _pixels(config, source, format, progress=progress)
    source, masks = _with_masks(source, pixels.format.size, progress=progress)
    bad |= {} if masks is None else masks.bad
    copies_matter = wanted in (None, PRETRAIN, TRAIN, VAL)
    seen, failed = _digests(pixels, source, progress=progress) if copies_matter else (_distinct(source), {})
    bad |= failed
    require_readable(config, source, bad)
    stored, plan = digest_stored(source.images), make_plan(config, source, bad, seen)
    if labels and (missing := plan.missing_classes()):
        raise UserError(f"{config.data}: {missing[0]}")
    if format is None:
        measured, found = _measure(config, plan, pixels)
        pixels, notes = replace(pixels, format=measured), notes + found
    lost = Lost()
    labels_of = torch.from_numpy(source.labels if masks is None else masks.masks)
    sets = {name: _image_set(config, source, pixels, labels_of, rows, lost) for name, rows in plan.sets().items()}
    own = pixels.format
    of_masks = () if masks is None else (masks.classes, digest(masks.masks.tobytes()))
    seen_as = (own.size, own.channels, own.kind, config.window, source.reading, tuple(plan.twins), *of_masks)
    return Dataset(
        readable=_image_set(config, source, pixels, labels_of, np.flatnonzero(plan.good), lost),
        pretrain=sets.pop(PRETRAIN),
        train=sets.pop(TRAIN, None),
        val=sets.pop(VAL, None),
        tests=sets,
        task=_task(source),
        format=own,
        fingerprint=fingerprint(stored, source.labels, plan.splits, *seen_as),
        notes=source.notes + notes + plan.notes(labels_wanted=labels),
        bad_before=(*source.damaged, *bad.values()),
        lost=lost,
        groups=None if source.groups is None else torch.from_numpy(source.groups[plan.labeled(TRAIN)]),
        val_groups=None if source.groups is None else torch.from_numpy(source.groups[plan.labeled(VAL)]),
        listed_groups=None if source.groups is None else torch.from_numpy(source.groups),
        parts=source.parts,
    )


def _task(source: Source) -> AnyTask | None:
    """What is learnt of the images of a source."""
    if source.masks is None or not source.classes:
        return source.task
    return Segmentation(classes=source.classes)


def _with_masks(source: Source, size: tuple[int, int], *, progress: bool) -> tuple[Source, MaskTable | None]:
    """The source with a class for each image, the rarest that its mask shows, by which splits are drawn; the masks."""
    if source.masks is None:
        return source, None
    table = read_masks(source, size, progress=progress)
    strata = Segmentation(classes=table.classes).strata(table.masks)
    return replace(source, labels=strata, classes=table.classes), table


def name_given(config: DataConfig, given: Dataset | Given | None) -> DataConfig:
    """What a run's config.json says of its data: "given:NAME" where a torch Dataset is handed over."""
    if given is None or isinstance(given, Dataset) or config.data.startswith(PREFIX):
        return config
    first = next(iter(given.values()), given) if isinstance(given, Mapping) else given
    return replace(config, data=PREFIX + type(first).__name__)


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


def _source(config: DataConfig, given: Given | Source | None, *, labels: bool, progress: bool) -> Source:
    if isinstance(given, Source):
        return given
    if given is not None:
        source = read_given(given, name_given(config, given).data, labels=labels, layout=config.layout)
        return replace(source, reading=reading_of(config))
    return read_source(config, labels=labels, progress=progress)


def _pixels(
    config: DataConfig, source: Source, format: ImageFormat | None, *, progress: bool
) -> tuple[CachedPixels | StreamedPixels, dict[int, str], tuple[str, ...]]:
    """All images, decoded if they fit the cache; a message for each that cannot be read, by its row; and notes.

    Their format is the given one, or else that of the images, not measured yet.
    """
    require_readable(config, source, {})
    found = scan(source, config, progress=progress)
    bad, wanted = found.bad, found.format if format is None else format.holding(found.format.kind)
    require_readable(config, source, bad)
    if stored_bytes(len(source.names), wanted) > config.cache_mib * 2**20:
        pixels: CachedPixels | StreamedPixels = StreamedPixels(source.images, source.reading, wanted)
    else:
        values, failed = fill_cache(source, wanted, progress=progress)
        bad, pixels = bad | failed, CachedPixels(values, wanted)
        require_readable(config, source, bad)
    if format is not None:
        _require_same_range(config, format, pixels, np.setdiff1d(np.arange(len(source.names)), list(bad)))
    return pixels, bad, found.notes() if format is None else ()


def _digests(
    pixels: CachedPixels | StreamedPixels, source: Source, *, progress: bool
) -> tuple[Digests, dict[int, str]]:
    """Of every image at the encoder's size; and a message for each row that cannot be decoded."""
    if isinstance(pixels, CachedPixels):
        return digest_rows(pixels.values), {}
    return digest_streamed(source, pixels.format, progress=progress)


def _distinct(source: Source) -> Digests:
    """Another digest for every image: none has a twin."""
    return np.arange(len(source.names)).astype("S16")


def _require_same_range(
    config: DataConfig, format: ImageFormat, pixels: CachedPixels | StreamedPixels, rows: NDArray[np.int64]
) -> None:
    """Raise `UserError` where floats are to be taken for 8- or 16-bit values and are not in 0..1."""
    found = pixels.format
    if found.kind != "float32" or format.kind == "float32":
        return
    plain = replace(pixels, format=ImageFormat.plain(found.size, found.channels, found.kind))
    values, _ = plain.read(torch.from_numpy(rows[:32]))
    low, high = float(values.nan_to_num(0).min()), float(values.nan_to_num(0).max())
    if low < 0 or high > 1:
        raise UserError(
            f"{config.data}: pixel values from {low:g} to {high:g}, but the run was trained on {format.kind} images: "
            f"give {format.kind}, or floats from 0 to 1"
        )


def _measure(
    config: DataConfig, plan: Plan, pixels: CachedPixels | StreamedPixels
) -> tuple[ImageFormat, tuple[str, ...]]:
    """The format with value range, mean and deviation of the pretraining images, and what is odd about their values.

    Measured on a sample if they are streamed.
    """
    rows, plain = torch.from_numpy(plan.sets()[PRETRAIN]), pixels.format
    if not len(rows):
        raise UserError(f"{config.data}: no image is left for training")
    if isinstance(pixels, CachedPixels):
        values = pixels.values
    else:
        values, failed = fill_cache(plan.source, plain, progress=False, rows=sample_rows(rows))
        for error in bad_file_errors(config, (), len(values), failed):
            raise UserError(error)
        rows = torch.as_tensor([row for row in range(len(values)) if row not in failed])
    scale = value_range(values, rows, plain.kind, config.window)
    clipped = config.window is not None
    own = channel_ranges(values, rows, plain.kind, config.window, scale)
    mean, std = channel_statistics(values, rows, scale, own, clip=clipped)
    odd = value_notes(values, rows, scale, own, clipped=clipped)
    format = replace(plain, value_range=scale, clipped=clipped, mean=mean, std=std, channel_ranges=own)
    return format, (*missing_notes(values, rows, config.nodata), *odd)


def _image_set(
    config: DataConfig, source: Source, pixels: Pixels, labels: torch.Tensor, rows: NDArray[np.int64], lost: Lost
) -> ImageSet:
    """The images of some rows of a source, with their labels (of all rows) and names."""
    at = torch.from_numpy(rows)
    return ImageSet(
        pixels=pixels,
        rows=at,
        labels=labels[at],
        ids=at,
        names=take(source.names, rows),
        workers=config.workers,
        on_bad_file=config.on_bad_file,
        lost=lost,
    )

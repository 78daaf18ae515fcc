"""From a configuration to a data set ready for training: read, split, deduplicated across splits, measured."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from unmask.config.data import DataConfig
from unmask.config.metric import label_form
from unmask.data.assignment import PRETRAIN, Plan, make_plan
from unmask.data.bad_files import require_readable
from unmask.data.decoding.image_format import ImageFormat
from unmask.data.decoding.reading import reading_of
from unmask.data.fingerprint import StoredDigests, digest, digest_pieces, fingerprint
from unmask.data.imageset import ImageSet, Lost
from unmask.data.known_parts import ImageParts
from unmask.data.mask_table import MaskTable, with_masks
from unmask.data.pixels import Pixels
from unmask.data.source_pixels import digests_of, measure_format, pixels_of
from unmask.data.sources.image_files import is_image_file, read_image_files
from unmask.data.sources.other_data import for_other_data
from unmask.data.sources.read import read_source
from unmask.data.sources.source import TRAIN, VAL, Source
from unmask.data.sources.torch_dataset import PREFIX, Given, read_given
from unmask.data.string_table import take
from unmask.errors import UserError
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
    """Labeled training images; None if there are no labels."""
    val: ImageSet | None
    """Validation images; None if there are none."""
    tests: dict[str, ImageSet]
    """Test sets by name: "test" if there are labels; multiview adds "multi", "single_1", ..."""
    task: AnyTask | None
    """What is learned of the images; None if they have no labels."""
    format: ImageFormat
    """Of all images; range, mean and standard deviation are those of the pretraining images."""
    fingerprint: str
    """Changes with any file, label, split or way of reading; not with the place of images, nor with the cache.

    In a given format only pieces of large files count, as no run records it.
    """
    notes: tuple[str, ...]
    """Notes for the user."""
    bad_before: tuple[str, ...]
    """One message for each file left out as unreadable when the data were loaded."""
    listed_groups: NDArray[np.int64] | None = None
    """Group of every image as listed, by its id, readable or not, int64; None if the source has no groups."""
    parts: ImageParts | None = None
    """The parts that images show, by their ids, if known."""

    lost: Lost = field(default_factory=Lost)
    """Files that could be read when the data were loaded, but not later."""

    def groups_of(self, images: ImageSet) -> NDArray[np.int64] | None:
        """Group of each image of a set, int64 (N,); None if the source has no groups."""
        return None if self.listed_groups is None else self.listed_groups[images.ids.numpy()]

    @property
    def bad_files(self) -> tuple[str, ...]:
        """One message for each file left out as unreadable, so far."""
        return (*self.bad_before, *self.lost.messages)

    def normalized_as(self, format: ImageFormat) -> "Dataset":
        """The same images with the mean and deviation of another format.

        Raises:
            ValueError: the formats differ in more than that, such as size or range: images would have to be read anew.
        """
        if format == self.format:
            return self
        own, asked = asdict(replace(self.format, mean=format.mean, std=format.std)), asdict(format)
        if other := [f"{name} {asked[name]}, not {own[name]}" for name in own if own[name] != asked[name]]:
            raise ValueError(f"the images have another format than the one asked for: {'; '.join(other)}")

        def of(images: ImageSet) -> ImageSet:
            return replace(images, pixels=replace(images.pixels, format=format))

        return replace(self._with_each(of), format=format)

    def read_by(self, workers: int) -> "Dataset":
        """The same images; if they are streamed, decoded by so many processes."""
        return self._with_each(lambda images: replace(images, workers=workers))

    def _with_each(self, of: Callable[[ImageSet], ImageSet]) -> "Dataset":
        return replace(
            self,
            readable=of(self.readable),
            pretrain=of(self.pretrain),
            train=None if self.train is None else of(self.train),
            val=None if self.val is None else of(self.val),
            tests={name: of(images) for name, images in self.tests.items()},
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes; empty if there are none."""
        return self.task.names if self.task is not None and label_form(self.task.name) == "class" else ()

    @property
    def class_sizes(self) -> tuple[int, ...]:
        """Labeled training images per class; for another task all of them."""
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
        labels: whether class labels are needed. If not, images may be unlabeled; existing labels still
            decide the splits, so that pretraining never sees an image that a later comparison tests on.
        progress: show a progress bar while files are decoded.
        given: used instead of what `config.data` names: a torch Dataset, several by split, {"train": ..., "test":
            ...}, a source, or what this function returned, which is returned unchanged.
        format: the format that images are brought to, if known, such as that of a trained network; nothing is
            measured then.
        limit: read at most so many images, spread evenly over the data.
        wanted: the only set that will be used. If that is neither training nor validation images, copies in
            other splits do not matter: images that do not fit the cache are then not decoded to find them.

    Raises:
        UserError: nothing found, unreadable (policy "error"), an unsupported layout, or values outside the range
            of the given format.
    """
    if isinstance(given, Dataset):
        return given
    if format is not None:
        config = replace(config, image_size=format.size, channels=format.channels)
    source = _source(config, given, labels=labels, progress=progress)
    source = source if limit is None else source.evenly(limit)
    stored = None if format is not None else StoredDigests(source.images)
    after = None if stored is None else stored.look
    pixels, bad, notes = pixels_of(config, source, format, progress=progress, after=after)
    source, masks = with_masks(source, pixels.format.size, progress=progress)
    bad |= {} if masks is None else masks.bad
    copies_matter = wanted in (None, PRETRAIN, TRAIN, VAL)
    seen, failed = np.arange(len(source.names)).astype("S16"), dict[int, str]()
    if copies_matter:
        seen, failed = digests_of(pixels, source, progress=progress, after=after)
    bad |= failed
    require_readable(config, source, bad)
    plan = make_plan(config, source, bad, seen)
    if labels and (missing := plan.missing_classes()):
        raise UserError(f"{config.data}: {missing[0]}")
    if format is None:
        measured, found = measure_format(config, plan, pixels)
        pixels, notes = replace(pixels, format=measured), notes + found
    notes = source.notes + notes + plan.notes(labels_wanted=labels)
    return _dataset(config, plan, pixels, masks, stored, notes=notes, bad=(*source.damaged, *bad.values()))


def load_images(
    config: DataConfig, names: Sequence[str], format: ImageFormat, *, wanted: str, limit: int | None, progress: bool
) -> Dataset:
    """Images by name in a given format: what `DataConfig.data` takes, or any number of image files.

    Args:
        config: how images are read and split; its options and fields are those of its own data.
        wanted: see `load_data`, as `limit` and `progress`.
        limit: at most so many images.

    Raises:
        UserError: see `load_data`.
    """
    config = for_other_data(config, names[0])
    files = [Path(name) for name in names]
    given = read_image_files(files, config) if len(files) > 1 or is_image_file(files[0]) else None
    return load_data(config, labels=False, progress=progress, given=given, format=format, limit=limit, wanted=wanted)


def _dataset(
    config: DataConfig,
    plan: Plan,
    pixels: Pixels,
    masks: MaskTable | None,
    stored: StoredDigests | None,
    *,
    notes: tuple[str, ...],
    bad: tuple[str, ...],
) -> Dataset:
    """All sets of a plan, with labels, names and groups, and their fingerprint."""
    source, own, lost = plan.source, pixels.format, Lost()
    labels = torch.from_numpy(source.labels if masks is None else masks.masks)
    of_masks = () if masks is None else (masks.classes, digest(masks.masks.tobytes()))
    seen_as = (own.size, own.channels, own.kind, config.window, source.reading, tuple(plan.twins), *of_masks)

    def image_set(rows: NDArray[np.int64]) -> ImageSet:
        at, names = torch.from_numpy(rows), take(source.names, rows)
        return ImageSet(pixels, at, labels[at], at, names, config.workers, config.on_bad_file, lost)

    digests = digest_pieces(source.images) if stored is None else stored.all()
    sets = {name: image_set(rows) for name, rows in plan.sets().items()}
    return Dataset(
        readable=image_set(np.flatnonzero(plan.good)),
        pretrain=sets.pop(PRETRAIN),
        train=sets.pop(TRAIN, None),
        val=sets.pop(VAL, None),
        tests=sets,
        task=source.task if source.masks is None or not source.classes else Segmentation(classes=source.classes),
        format=own,
        fingerprint=fingerprint(digests, source.labels, plan.splits, *seen_as),
        notes=notes,
        bad_before=bad,
        lost=lost,
        listed_groups=source.groups,
        parts=source.parts,
    )


def name_given(config: DataConfig, given: Dataset | Given | None) -> DataConfig:
    """The name of the data in a run's config.json: "given:NAME" if a torch Dataset is handed over."""
    if given is None or isinstance(given, Dataset) or config.data.startswith(PREFIX):
        return config
    first = next(iter(given.values()), given) if isinstance(given, Mapping) else given
    return replace(config, data=PREFIX + type(first).__name__)


def _source(config: DataConfig, given: Given | Source | None, *, labels: bool, progress: bool) -> Source:
    if isinstance(given, Source):
        return given
    if given is not None:
        source = read_given(
            given, name_given(config, given).data, labels=labels, layout=config.layout, task=config.asked_task
        )
        return replace(source, reading=reading_of(config))
    return read_source(config, labels=labels, progress=progress)

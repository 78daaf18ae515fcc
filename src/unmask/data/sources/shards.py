"""Images in tar files, as WebDataset writes them: listed once, then read in place in any order, one by one."""

import json
import os
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from unmask.config.metric import TaskName
from unmask.data.decoding.file import Member
from unmask.data.file_names import one_line
from unmask.data.sources.label_values import label_columns
from unmask.data.sources.labels import Labels, not_read, read_labels
from unmask.data.sources.samples import Fields, samples
from unmask.data.sources.shard_files import splits_of
from unmask.data.sources.source import Source, split_array
from unmask.data.sources.tar import places
from unmask.data.string_table import Texts, take
from unmask.data.threads import THREADS
from unmask.errors import UserError
from unmask.wording import printable


@dataclass(frozen=True)
class Shards:
    """Images in tar files: 36 bytes and a name per image."""

    files: tuple[Path, ...]
    names: Sequence[str]
    """Shard and member, "train-0003.tar/00017.png"."""
    shard: NDArray[np.int32]
    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    threads: int = THREADS

    def __len__(self) -> int:
        return len(self.size)

    def stored(self, row: int) -> Member:
        """The image, as a piece of its shard."""
        return Member(self.names[row], self.files[self.shard[row]], int(self.offset[row]), int(self.size[row]))

    def take(self, rows: NDArray[np.int64]) -> "Shards":
        """See `Images.take`."""
        names = take(self.names, rows)
        return replace(self, names=names, shard=self.shard[rows], offset=self.offset[rows], size=self.size[rows])


@dataclass
class _Index:
    """What is collected while shards are listed, without an object per sample."""

    files: list[Path] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    """Images per shard."""
    offsets: "array[int]" = field(default_factory=lambda: array("q"))
    sizes: "array[int]" = field(default_factory=lambda: array("q"))
    labels: list[str] = field(default_factory=list)
    """Equal labels share one string."""
    words: dict[str, str] = field(default_factory=dict)
    classes_only: bool = True
    """Whether each label is that of a .cls member."""
    without_image: int = 0
    damaged: list[str] = field(default_factory=list)

    def read(self, file: Path, where: str, fields: Fields) -> list[str]:
        """List a shard and return the names of its images; damage is recorded."""
        names: list[str] = []
        try:
            with file.open("rb") as tar:
                for sample in samples(tar, places(tar), fields):
                    if sample is None:
                        self.without_image += 1
                        continue
                    names.append(f"{where}/{sample.image.name}")
                    self.offsets.append(sample.image.offset)
                    self.sizes.append(sample.image.size)
                    self.classes_only &= sample.is_class or not sample.label
                    self.labels.append(self.words.setdefault(sample.label, sample.label))
        except (UserError, OSError) as error:
            self.damaged.append(f"{printable(file)}: {error if isinstance(error, UserError) else one_line(error)}")
        self.files.append(file)
        self.counts.append(len(names))
        return names


def read_shards(
    files: Sequence[Path],
    *,
    labels: bool,
    fields: Fields | None = None,
    progress: bool = False,
    task: TaskName | None = None,
) -> Source:
    """Shards as a source. Only headers and labels are read.

    The split of a shard is the one its file or folder is named after: train-0000.tar, val/0000.tar.

    Args:
        fields: which members of a sample are image and label.
        task: what is to be learned. Default: what the labels show.

    Raises:
        UserError: no image in them, no labels although they are needed, or a name that only looks held out.
    """
    root = Path(os.path.commonpath([file.parent for file in files]))
    splits = splits_of(files, root)
    index = _Index()
    bar = tqdm(files, desc="indexing", unit="shard", disable=not progress)
    wanted = fields or Fields()
    names = Texts.of(name for file in bar for name in index.read(file, printable(file.relative_to(root)), wanted))
    if not len(names):
        raise UserError(_no_image(files, index))
    learned = _learned(index, root, task, needed=labels)
    if labels and not learned.can_be_learned:
        raise UserError(_no_labels(root, () if learned.task is None else learned.task.names))
    learned = learned.unless_too_few()
    each = np.repeat(np.arange(len(files), dtype=np.int32), index.counts)
    return Source(
        names=names,
        labels=learned.values,
        task=learned.task,
        splits=split_array(splits)[each],
        images=Shards(
            files=tuple(files),
            names=names,
            shard=each,
            offset=np.array(index.offsets, np.int64),
            size=np.array(index.sizes, np.int64),
        ),
        notes=_notes(index, learned),
        damaged=tuple(index.damaged),
    )


def has_member(file: Path, image: str) -> bool:
    """Whether some sample of a shard has an image in this field; True for a damaged one, which is reported when it is
    read."""
    try:
        with file.open("rb") as tar:
            return any(one is not None for one in samples(tar, places(tar), Fields(image)))
    except (UserError, OSError):
        return True


def _no_image(files: Sequence[Path], index: _Index) -> str:
    if index.damaged:
        return index.damaged[0]
    return (
        f"{files[0]}: no sample with an image in {len(files)} shards ({index.without_image} without one); an image is "
        "a member such as 00017.jpg, or what `image_field` names"
    )


def _no_labels(root: Path, classes: tuple[str, ...]) -> str:
    found = f"the one label {classes[0]}" if classes else "no label"
    return (
        f"{root}: labels of two or more classes are needed, found {found}: a sample's label is its .cls member, the "
        "key label, cls or class of its .json, or what `label_field` names (a member such as txt, or a key)"
    )


def _learned(index: _Index, root: Path, task: TaskName | None, *, needed: bool) -> Labels:
    """The labels of all samples; lists in .json members are several labels."""
    lists = {text: found for text in index.words if text[:1] in "[{" and (found := _parsed(text)) is not None}
    try:
        columns = label_columns([lists.get(text, text) for text in index.labels], str(root), asked=task)
    except UserError as error:
        if needed:
            raise
        return not_read(len(index.labels), error)
    return read_labels(columns, task, str(root), needed=needed, codes="all" if index.classes_only else "contiguous")


def _parsed(text: str) -> Any:
    """A JSON list or object; None for anything else."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _notes(index: _Index, learned: Labels) -> tuple[str, ...]:
    notes = []
    if index.without_image:
        notes.append(f"{index.without_image} samples without an image were skipped")
    return (*notes, *learned.all_notes())

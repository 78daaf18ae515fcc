"""A torch Dataset handed over in Python: anything with a length that returns images, labeled or not, by index."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from unmask.config.data import Layout
from unmask.config.metric import TaskName
from unmask.data.decoding.channel_axis import image_of
from unmask.data.decoding.decode import named
from unmask.data.decoding.image_format import kind_of
from unmask.data.decoding.pil_modes import to_array
from unmask.data.sources.label_values import label_columns
from unmask.data.sources.labels import Labels, not_read, read_labels
from unmask.data.sources.source import SPLIT_NAMES, UNASSIGNED, UNLABELED, Source, held_out_name, place_in, split_array
from unmask.data.string_table import Texts
from unmask.errors import UserError

PREFIX = "given:"
"""Prefix of `DataConfig.data` for a run whose data were handed over."""
LOOKED_AT = 32
"""So many items are compared with the `targets` of a data set."""


class Indexed(Protocol):
    """A map-style torch Dataset, or anything like it, such as a list."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any:
        """An image; or (image, label, ...); or a mapping with "image" and perhaps "label"."""
        ...


Given = Indexed | Mapping[str, Indexed]
"""One data set, or several by their splits: {"train": ..., "test": ...}."""


@dataclass(frozen=True)
class Items:
    """The images of data sets one after the other, read one at a time: their code need not be thread-safe."""

    parts: tuple[Indexed, ...]
    ends: NDArray[np.int64]
    """Items of the data sets up to and including each."""
    rows: NDArray[np.int64]
    names: Texts
    layout: Layout | None = None
    """Layout of NumPy arrays, if given."""
    threads: int = 1

    def __len__(self) -> int:
        return len(self.rows)

    def item(self, row: int) -> Any:
        """Return what the data set returns.

        Raises:
            UserError: it raises.
        """
        at = int(self.rows[row])
        part, local = place_in(self.ends, at)
        with named(self.names[at]):
            return self.parts[part][local]

    def stored(self, row: int) -> NDArray[np.generic]:
        """The pixels, (C, H, W)."""
        item = self.item(row)
        with named(self.names[int(self.rows[row])]):
            return to_pixels(_image(item), self.layout)

    def take(self, rows: NDArray[np.int64]) -> "Items":
        """See `Images.take`."""
        return replace(self, rows=self.rows[rows])


def read_given(
    given: Given, name: str, *, labels: bool, layout: Layout | None = None, task: TaskName | None = None
) -> Source:
    """Handed over data as a source.

    Args:
        given: one data set, or several by their splits.
        layout: of images that are NumPy arrays.
        task: what is to be learned. Default: what the labels show.

    Raises:
        UserError: empty, no images, a different image on each access, or no labels although they are needed.
    """
    parts = {part: data for part, data in _by_split(given, name).items() if len(data)}
    if not parts:
        raise UserError(f"{name}: the data set is empty")
    counts = [len(data) for data in parts.values()]
    names = Texts.of(f"{part or name}[{i}]" for part, n in zip(parts, counts, strict=True) for i in range(n))
    items = Items(tuple(parts.values()), np.cumsum(counts), np.arange(sum(counts)), names, layout)
    _require_constant(items)
    learned = _learned(items, name, task, needed=labels)
    if labels and not learned.can_be_learned:
        fix = learned.seen or "give (image, label) pairs, with numbers, text or several of these as labels"
        raise UserError(f"{name}: labels of two or more classes are needed: {fix}")
    learned = learned.unless_too_few()
    splits = split_array([SPLIT_NAMES.get(part.lower(), UNLABELED) if part else UNASSIGNED for part in parts])
    return Source(
        names=names,
        labels=learned.values,
        task=learned.task,
        splits=np.repeat(splits, counts),
        images=items,
        notes=learned.all_notes(),
    )


def _learned(items: Items, name: str, task: TaskName | None, *, needed: bool) -> Labels:
    """The labels of all items. Labels that fit no task, such as boxes, are not read if none are needed."""
    try:
        values = [value for part in range(len(items.parts)) for value in _labels(items, part)]
        titles = getattr(items.parts[0], "attr_names", None)
        width = next((len(value) for value in values if isinstance(value, list)), None)
        names = [title for title in titles if title] if isinstance(titles, list | tuple) else None
        columns = label_columns(values, name, names if names is not None and len(names) == width else None, asked=task)
    except UserError as error:
        if needed:
            raise
        return not_read(len(items), error)
    named_classes = any(isinstance(getattr(part, "classes", None), list | tuple) for part in items.parts)
    return read_labels(columns, task, name, needed=needed, codes="all" if named_classes else "contiguous")


def to_pixels(image: object, layout: Layout | None = None) -> NDArray[np.generic]:
    """A PIL image, tensor (H, W) or (C, H, W), or array (H, W), (H, W, C) or (C, H, W) as (C, H, W).

    Raises:
        UserError: anything else, or values of an unsupported type.
    """
    if isinstance(image, Image.Image):
        return to_array(ImageOps.exif_transpose(image))
    if isinstance(image, Tensor):
        values = image_of(image.detach().cpu().numpy(), "channels-first")
    elif isinstance(image, np.ndarray):
        values = image_of(image, layout)
    else:
        raise UserError(f"{type(image).__name__} is not an image: give PIL images, tensors or arrays")
    kind_of(values.dtype)
    return values


def _by_split(given: Given, name: str) -> Mapping[str, Indexed]:
    parts = given if isinstance(given, Mapping) else {"": given}
    for part, data in parts.items():
        if part.lower() not in SPLIT_NAMES and (meant := held_out_name(part)):
            raise UserError(f"{name}: {part!r} looks held out, but is not the name of a split: call it {meant!r}")
        if not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
            raise UserError(f"{part or name}: a data set with a length and access by index is needed, not a stream")
    return parts


def _require_constant(items: Items) -> None:
    """Raise `UserError` if an image differs between accesses: resume, twins and the fingerprint rely on that."""
    constant = True
    for row in sorted({0, len(items) // 2, len(items) - 1}):
        with suppress(UserError):  # an unreadable image, which is found again when all are read
            first = items.stored(row)
            again = [items.stored(row) for _ in range(2)]
            constant = all(np.array_equal(first, one, equal_nan=first.dtype.kind == "f") for one in again)
        if not constant:
            name = items.names[row]
            raise UserError(
                f"{name}: a different image on each access: remove random transforms, unmask augments the images itself"
            )


def _image(item: Any) -> Any:
    if isinstance(item, Mapping):
        return item["image"]
    return item[0] if isinstance(item, tuple | list) else item


def _labels(items: Items, part: int) -> list[Any]:
    """A label per item, "" if it has none: what the items say. torchvision's `targets` say it without reading them.

    `classes` names the labels that are indices; not those that are other numbers than the `targets`.
    """
    data = items.parts[part]
    rows = range(int(items.ends[part]) - len(data), int(items.ends[part]))
    targets = _targets(data)
    known = targets if targets is not None and _are_of_items(data, targets, items, rows) else None
    if known is None:
        known = [_plain(_label_at(items, row)) for row in rows]
    names = getattr(data, "classes", None)
    if not isinstance(names, list | tuple) or (targets is not None and _renumbered(targets, known)):
        return known
    words = dict(enumerate(map(str, names)))
    return [words.get(value, value) if isinstance(value, int) else value for value in known]


def _targets(data: Indexed) -> list[Any] | None:
    """The attribute `targets`, if it has a value per item."""
    found: Any = getattr(data, "targets", None)
    return [_plain(one) for one in found] if hasattr(found, "__len__") and len(found) == len(data) else None


def _are_of_items(data: Indexed, targets: list[Any], items: Items, rows: range) -> bool:
    """Whether the items have the targets as labels: torchvision's own class returns them, and some items agree."""
    reads = getattr(type(data).__getitem__, "__module__", None) or ""
    if not reads.startswith("torchvision.") or getattr(data, "target_transform", None) is not None:
        return False
    some = np.linspace(0, len(rows) - 1, min(LOOKED_AT, len(rows))).round().astype(int).tolist()
    return all(_plain(_label_at(items, rows[at])) in ("", targets[at]) for at in some)


def _renumbered(targets: list[Any], labels: list[Any]) -> bool:
    """Whether labels are the targets under other numbers, such as those of coarser classes."""
    both = zip(targets, labels, strict=True)
    pairs = {(one, label) for one, label in both if isinstance(one, int) and isinstance(label, int)}
    return any(one != label for one, label in pairs) and len({one for one, _ in pairs}) == len(pairs)


def _label_at(items: Items, row: int) -> Any:
    try:
        item = items.item(row)
    except UserError:  # an unreadable image, see above
        return None
    if isinstance(item, Mapping):
        return item.get("label")
    return item[1] if isinstance(item, tuple | list) and len(item) > 1 else None


def _plain(label: Any) -> Any:
    """A label without NumPy and torch, a whole number as an integer; "" for none."""
    if isinstance(label, Tensor | np.ndarray | np.generic):
        label = label.tolist()
    if isinstance(label, float) and label.is_integer():
        return int(label)
    return "" if label is None else label

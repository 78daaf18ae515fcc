"""A torch Dataset handed over in Python: anything with a length that gives images, with or without labels, by index."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from unmask.config.data import Layout
from unmask.data.decoding.decode import named
from unmask.data.decoding.image_format import kind_of
from unmask.data.decoding.layout import image_of
from unmask.data.decoding.pil_modes import to_array
from unmask.data.sources.manifest import one_class, unlabeled_note
from unmask.data.sources.manifest_texts import encode_labels
from unmask.data.sources.source import SPLIT_NAMES, UNASSIGNED, UNLABELED, Source, held_out_name, place_in, split_array
from unmask.data.string_table import Texts
from unmask.errors import UserError

PREFIX = "given:"
"""Begins `DataConfig.data` of a run whose data were handed over."""


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
    """The images of data sets one after the other, read one at a time: such code need not be safe for threads."""

    parts: tuple[Indexed, ...]
    ends: NDArray[np.int64]
    """Items of the data sets up to and with each."""
    rows: NDArray[np.int64]
    names: Texts
    layout: Layout | None = None
    """Of NumPy arrays, where it is told."""
    threads: int = 1

    def __len__(self) -> int:
        return len(self.rows)

    def item(self, row: int) -> Any:
        """What the data set gives.

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


def read_given(given: Given, name: str, *, labels: bool, layout: Layout | None = None) -> Source:
    """Handed over data as a source.

    Args:
        given: one data set, or several by their splits.
        name: what to call it in messages.
        labels: whether class labels are needed.
        layout: of images that are NumPy arrays.

    Raises:
        UserError: empty, no images, a different image on each access, or no labels where they are needed.
    """
    parts = {part: data for part, data in _by_split(given, name).items() if len(data)}
    if not parts:
        raise UserError(f"{name}: the data set is empty")
    counts = [len(data) for data in parts.values()]
    names = Texts.of(f"{part or name}[{i}]" for part, n in zip(parts, counts, strict=True) for i in range(n))
    items = Items(tuple(parts.values()), np.cumsum(counts), np.arange(sum(counts)), names, layout)
    _require_constant(items)
    classes, codes = encode_labels([text for part in range(len(parts)) for text in _labels(items, part)])
    if len(classes) < 2:
        if labels:
            fix = one_class(codes) or "give (image, label) pairs, labels being whole numbers or text"
            raise UserError(f"{name}: labels of two or more classes are needed: {fix}")
        classes, codes = (), codes * 0 - 1
    splits = split_array([SPLIT_NAMES.get(part.lower(), UNLABELED) if part else UNASSIGNED for part in parts])
    notes = unlabeled_note(codes) if classes else ()
    return Source(
        names=names, labels=codes, classes=classes, splits=np.repeat(splits, counts), images=items, notes=notes
    )


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
    """Raise `UserError` where an image is not the same each time: resume, twins and the fingerprint rest on that."""
    constant = True
    for row in sorted({0, len(items) // 2, len(items) - 1}):
        with suppress(UserError):  # of an unreadable image, which is found again when all are looked at
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


def _labels(items: Items, part: int) -> list[str]:
    """A text an item, "" where it has no label. torchvision's `targets` and `classes` are used where they are there."""
    data = items.parts[part]
    end = int(items.ends[part])
    known = getattr(data, "targets", None)
    if known is None or len(known) != len(data) or getattr(data, "target_transform", None) is not None:
        known = [_label_at(items, row) for row in range(end - len(data), end)]
    names = getattr(data, "classes", None)
    words: dict[int | str, str] = {"": "", -1: ""}
    values = [_plain(value) for value in known]
    for value in set(values) - {"", -1}:
        named_class = isinstance(value, int) and isinstance(names, list | tuple) and 0 <= value < len(names)
        words[value] = str(names[value]) if named_class else str(value)  # type: ignore[index]
    return [words[value] for value in values]


def _label_at(items: Items, row: int) -> Any:
    try:
        item = items.item(row)
    except UserError:  # an unreadable image, see above
        return None
    if isinstance(item, Mapping):
        return item.get("label")
    return item[1] if isinstance(item, tuple | list) and len(item) > 1 else None


def _plain(label: Any) -> int | str:
    """An integer (also stored as a float) or a text; "" for what is neither."""
    if isinstance(label, Tensor | np.ndarray | np.generic) and label.ndim == 0:
        label = label.item()
    if isinstance(label, float) and label.is_integer():
        return int(label)
    return label if isinstance(label, int | str) else ""

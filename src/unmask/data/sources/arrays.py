"""Images in .npy and .npz files: any number of channels, 8-bit, 16-bit and float."""

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unmask.config.data import Layout
from unmask.config.metric import TaskName, label_form
from unmask.data.decoding.channel_axis import images_of
from unmask.data.decoding.decode import named
from unmask.data.decoding.image_format import kind_of
from unmask.data.decoding.npy import map_array, read_member
from unmask.data.file_names import in_line
from unmask.data.sources.label_values import label_columns
from unmask.data.sources.labels import Labels, read_labels
from unmask.data.sources.manifest import require_whole_groups, text_of
from unmask.data.sources.manifest_texts import encode_groups
from unmask.data.sources.mask_arrays import mask_arrays
from unmask.data.sources.source import SPLIT_NAMES, TEST, TRAIN, UNASSIGNED, VAL, Arrays, Masks, Source, split_array
from unmask.data.string_table import Texts
from unmask.errors import UserError

Any = np.generic


def read_arrays(
    file: Path,
    *,
    labels: bool,
    layout: Layout | None = None,
    gray: bool = False,
    task: TaskName | None = None,
) -> Source:
    """A .npy file (images only, mapped into memory) or a .npz file as a source.

    A .npz holds `images` and optionally `labels` (numbers or text, one per image or a row for each; "", -1
    of a class or NaN is unlabeled) or `masks`,
    `groups` and `split`; or `train_images`, `train_labels` or `train_masks`, and the same with val and test. Masks are
    (N, H, W), all 255 if an image has none; `classes` names the classes that their values index.

    Args:
        layout: which axis holds the channels, if the shape is ambiguous.
        gray: one channel is requested: three axes are gray images.
        task: what is to be learned. Default: a segmentation if there are masks and no labels.

    Raises:
        UserError: unreadable, no images, arrays of different lengths, an ambiguous layout, or no labels although they
            are needed.
    """
    source = (
        _from_npy(file, layout, gray) if file.suffix.lower() == ".npy" else _from_npz(file, layout, gray, task, labels)
    )
    found = Labels(source.task, source.labels)
    if labels and source.masks is None and not found.can_be_learned:
        fix = "store them as np.savez(file, images=..., labels=...)"
        raise UserError(f"{file}: labels of two or more classes are needed: {found.seen or fix}")
    return source


def supported(images: NDArray[Any], where: str, layout: Layout | None = None, *, gray: bool = False) -> NDArray[Any]:
    """(N, H, W), (N, H, W, C) or (N, C, H, W) as (N, C, H, W), if their number type is one of images.

    With `gray`, three axes are gray images unless told otherwise.
    """
    with named(where):
        kind_of(images.dtype)
        return images_of(images, "gray" if layout is None and gray and images.ndim == 3 else layout)


def _from_npy(file: Path, layout: Layout | None, gray: bool) -> Source:
    with named(file):
        values = map_array(file)
    images = supported(values, str(file), layout, gray=gray)
    count = len(images)
    return Source(
        names=Texts.of(f"{file.stem}[{i}]" for i in range(count)),
        labels=np.full(count, -1, np.int64),
        classes=(),
        splits=split_array([UNASSIGNED] * count),
        images=Arrays(images),
    )


def _from_npz(file: Path, layout: Layout | None, gray: bool, task: TaskName | None, needed: bool) -> Source:
    parts = _load_npz(file)
    found = [""] if "images" in parts else [split for split in (TRAIN, VAL, TEST) if f"{split}_images" in parts]
    known = _known(file, parts, found, task)
    named = {split: (parts[_name(split, "images")], parts.get(_name(split, known))) for split in found}
    images = [
        supported(values, _part(file, split), layout, gray=gray or labels is not None)
        for split, (values, labels) in named.items()
    ]
    if len({values.shape[1:] for values in images}) > 1:
        raise UserError(f"{file}: the splits hold images of different shapes, {[v.shape[1:] for v in images]}")
    counts = [len(values) for values in images]
    masks, values = _learned(file, parts, known, named, images)
    names = _class_names(file, parts) if masks is None else None
    columns = label_columns(values, f"{file}: labels", names, asked=task)
    learned = read_labels(columns, task, str(file), needed=needed, codes="contiguous")
    splits = _splits(file, parts, named, counts)
    groups = _texts(f"{file}: groups", parts["groups"], sum(counts)) if "groups" in parts else None
    group_codes = None if groups is None else encode_groups(groups)
    require_whole_groups(str(file), group_codes, splits, groups or [])
    return Source(
        names=Texts.of(f"{split or file.stem}[{i}]" for split, n in zip(named, counts, strict=True) for i in range(n)),
        labels=learned.values,
        task=learned.task,
        splits=splits,
        images=Arrays(np.concatenate(images) if len(images) > 1 else images[0]),
        groups=group_codes,
        masks=masks,
        notes=learned.all_notes() if masks is None else masks.notes,
    )


def _learned(
    file: Path,
    parts: dict[str, NDArray[Any]],
    known: str,
    named: dict[str, tuple[NDArray[Any], NDArray[Any] | None]],
    images: list[NDArray[Any]],
) -> tuple[Masks | None, list[object]]:
    """The masks, if `known` says so, and a label for each image, "" for none."""
    if known == "masks":
        names = _class_names(file, parts)
        pairs = [(_part(file, split, "masks"), values) for split, (_, values) in named.items()]
        return mask_arrays(pairs, [one.shape for one in images], names, str(file)), [""] * sum(map(len, images))
    counts = map(len, images)
    labels = [_labels(file, split, values, n) for (split, (_, values)), n in zip(named.items(), counts, strict=True)]
    return None, [value for one in labels for value in one]


def _class_names(file: Path, parts: dict[str, NDArray[np.generic]]) -> list[str] | None:
    """Names of the classes of masks, or of the columns of labels."""
    return _texts(f"{file}: classes", parts["classes"], len(parts["classes"])) if "classes" in parts else None


def _known(file: Path, parts: dict[str, NDArray[Any]], splits: list[str], task: TaskName | None) -> str:
    """What is used of the images: "masks" or "labels".

    Raises:
        UserError: both exist and no task is requested.
    """
    there = [what for what in ("masks", "labels") if any(_name(split, what) in parts for split in splits)]
    if task is None and len(there) > 1:
        raise UserError(
            f"{file}: holds masks and labels: say with `task` which to learn, segmentation or classification"
        )
    return "masks" if "masks" in there and label_form(task) in (None, "mask") else "labels"


def _load_npz(file: Path) -> dict[str, NDArray[Any]]:
    """The arrays that are used; others in the file are not read."""
    with named(file), file.open("rb") as handle:
        if not zipfile.is_zipfile(handle):
            raise UserError("not a .npz file, or cut off")
        with zipfile.ZipFile(handle) as archive:
            there = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            prefixes = ("",) if "images" in there else (f"{TRAIN}_", f"{VAL}_", f"{TEST}_")
            arrays = ("images", "labels", "masks")
            used = ["groups", "split", "classes", *(f"{prefix}{what}" for prefix in prefixes for what in arrays)]
            if not any(name.endswith("images") for name in used if name in there):
                listed = in_line(", ".join(there[:10])) or "nothing"
                raise UserError(f"no array images or train_images; found {listed}{' ...' if len(there) > 10 else ''}")
            return {name: read_member(archive, name) for name in used if name in there}


def _splits(
    file: Path,
    parts: dict[str, NDArray[Any]],
    named: dict[str, tuple[NDArray[Any], NDArray[Any] | None]],
    counts: list[int],
) -> NDArray[np.str_]:
    if "split" not in parts:
        return split_array([split for split, n in zip(named, counts, strict=True) for _ in range(n)])
    texts = [text.lower() for text in _texts(f"{file}: split", parts["split"], sum(counts))]
    if unknown := sorted(set(texts) - set(SPLIT_NAMES)):
        raise UserError(f"{file}: split {unknown[0]!r} is not one of train, val, test, unlabeled")
    return split_array([SPLIT_NAMES[text] for text in texts])


def _name(split: str, what: str) -> str:
    """An array of a .npz."""
    return f"{split}_{what}" if split else what


def _part(file: Path, split: str, what: str = "images") -> str:
    """The name of an array of a .npz in messages."""
    return f"{file}: {_name(split, what)}"


def _labels(file: Path, split: str, values: NDArray[Any] | None, count: int) -> list[object]:
    """One label per image, a row of several; "" if there is none."""
    if values is None:
        return [""] * count
    where = _part(file, split, "labels")
    if values.shape[:1] != (count,) or values.ndim > 2:
        raise UserError(f"{where}: shape {values.shape} for {count} images, expected ({count},) or ({count}, labels)")
    with named(where):  # not every number of a text array is a letter
        flat = values.reshape(count) if values.size == count else values
        return [text_of(value) if isinstance(value, bytes) else value for value in flat.tolist()]


def _texts(where: str, values: NDArray[Any], count: int) -> list[str]:
    """One text per image; "" for none."""
    if values.shape[:1] != (count,) or values.size != count:
        raise UserError(f"{where}: shape {values.shape} for {count} images, expected ({count},)")
    with named(where):  # not every number of a text array is a letter
        return [text_of(value) for value in values.reshape(-1).tolist()]

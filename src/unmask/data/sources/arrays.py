"""Images in .npy and .npz files: any number of channels, 8-bit, 16-bit and float."""

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unmask.data.decoding.decode import named
from unmask.data.decoding.image_format import kind_of
from unmask.data.decoding.npy import read_member
from unmask.data.file_names import in_line
from unmask.data.sources.manifest import encode_groups, encode_labels, one_class, require_whole_groups, text_of
from unmask.data.sources.source import SPLIT_NAMES, TEST, TRAIN, UNASSIGNED, VAL, Arrays, Source, split_array
from unmask.data.string_table import Texts
from unmask.errors import UserError

Any = np.generic
COLOURS = (3, 4)
"""Lengths of an axis that looks like the channels of color images."""
LAYOUTS = "(N, H, W), (N, H, W, C) or (N, C, H, W)"


def read_arrays(file: Path, *, labels: bool) -> Source:
    """A .npy file (images only, mapped into memory) or a .npz file as a source.

    A .npz holds `images` and, as far as wanted, `labels` (numbers or text; "", -1 or NaN is unlabeled), `groups` and
    `split`; or `train_images`, `train_labels`, and the same with val and test.

    Raises:
        UserError: unreadable, no images, arrays of different lengths, or no labels where they are needed.
    """
    source = _from_npy(file) if file.suffix.lower() == ".npy" else _from_npz(file)
    if labels and len(source.classes) < 2:
        fix = "store them as np.savez(file, images=..., labels=...)"
        raise UserError(f"{file}: labels of two or more classes are needed: {one_class(source.labels) or fix}")
    return source


def channels_first(images: NDArray[Any], where: str) -> NDArray[Any]:
    """(N, H, W), (N, H, W, C) or (N, C, H, W) as (N, C, H, W): of axes 1 and 3, the shorter is the channels.

    Raises:
        UserError: another number of axes, no images, axes 1 and 3 of the same length, or an unsupported number type.
    """
    with named(where):
        kind_of(images.dtype)
    shape = images.shape
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and shape[3] < shape[1]:
        images = images.transpose(0, 3, 1, 2)
    elif images.ndim != 4 or shape[1] == shape[3]:
        raise UserError(f"{where}: shape {shape} is not one of {LAYOUTS} with fewer channels than pixels per side")
    if 0 in images.shape:
        raise UserError(f"{where}: shape {shape} holds no pixel")
    return images


def _from_npy(file: Path) -> Source:
    with named(file):
        values = np.lib.format.open_memmap(file, mode="r")
    images = channels_first(values, str(file))
    count = len(images)
    return Source(
        names=Texts.of(f"{file.stem}[{i}]" for i in range(count)),
        labels=np.full(count, -1, np.int64),
        classes=(),
        splits=split_array([UNASSIGNED] * count),
        images=Arrays(images),
        notes=_note_of_layout(values.shape, str(file)),
    )


def _note_of_layout(shape: tuple[int, ...], where: str) -> tuple[str, ...]:
    """That an array may be one color image, or several without an axis for them, though it is read as gray images."""
    if len(shape) != 3 or not (shape[1] > shape[2] in COLOURS or shape[0] in COLOURS):
        return ()
    count, height, width = shape
    return (
        f"{where}: shape {shape} is read as {count} gray images of {height}x{width} (height x width); color images "
        "are stored as (N, H, W, C), N = 1 for a single one",
    )


def _from_npz(file: Path) -> Source:
    parts = _load_npz(file)
    if "images" in parts:
        named = {"": (parts["images"], parts.get("labels"))}
    else:
        found = [split for split in (TRAIN, VAL, TEST) if f"{split}_images" in parts]
        named = {split: (parts[f"{split}_images"], parts.get(f"{split}_labels")) for split in found}
    images = [channels_first(values, _part(file, split)) for split, (values, _) in named.items()]
    if len({values.shape[1:] for values in images}) > 1:
        raise UserError(f"{file}: the splits hold images of different shapes, {[v.shape[1:] for v in images]}")
    counts = [len(values) for values in images]
    texts = [text for split, n in zip(named, counts, strict=True) for text in _labels(file, split, named[split][1], n)]
    classes, codes = encode_labels(texts)
    splits = _splits(file, parts, named, counts)
    groups = _texts(f"{file}: groups", parts["groups"], sum(counts)) if "groups" in parts else None
    group_codes = None if groups is None else encode_groups(groups)
    require_whole_groups(str(file), group_codes, splits, groups or [])
    return Source(
        names=Texts.of(f"{split or file.stem}[{i}]" for split, n in zip(named, counts, strict=True) for i in range(n)),
        labels=codes,
        classes=classes,
        splits=splits,
        images=Arrays(np.concatenate(images) if len(images) > 1 else images[0]),
        groups=group_codes,
        notes=tuple(
            note for split, (values, _) in named.items() for note in _note_of_layout(values.shape, _part(file, split))
        ),
    )


def _load_npz(file: Path) -> dict[str, NDArray[Any]]:
    """The arrays that are used; others in the file are not read."""
    with named(file), file.open("rb") as handle:
        if not zipfile.is_zipfile(handle):
            raise UserError("not a .npz file, or cut off")
        with zipfile.ZipFile(handle) as archive:
            there = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            prefixes = ("",) if "images" in there else (f"{TRAIN}_", f"{VAL}_", f"{TEST}_")
            used = ["groups", "split", *(f"{prefix}{what}" for prefix in prefixes for what in ("images", "labels"))]
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


def _part(file: Path, split: str, what: str = "images") -> str:
    """What messages call an array of a .npz."""
    return f"{file}: {split}_{what}" if split else f"{file}: {what}"


def _labels(file: Path, split: str, values: NDArray[Any] | None, count: int) -> list[str]:
    """One text per image; "" where there is no label."""
    if values is None:
        return [""] * count
    if values.dtype.kind == "f" and (odd := values[np.isfinite(values) & (values != np.floor(values))]).size:
        raise UserError(f"{_part(file, split, 'labels')}: {odd[0]} is not a class: store whole numbers or text")
    return _texts(_part(file, split, "labels"), values, count)


def _texts(where: str, values: NDArray[Any], count: int) -> list[str]:
    """One text per image; "" for none and for -1."""
    if values.shape[:1] != (count,) or values.size != count:
        one_hot = values.shape[:1] == (count,) and where.endswith("labels")
        rows = "; of one-hot rows store the argmax" if one_hot else ""
        raise UserError(f"{where}: shape {values.shape} for {count} images, wanted is ({count},){rows}")
    return ["" if text == "-1" else text for text in map(text_of, values.reshape(-1).tolist())]

"""A folder of images: flat, nested, one folder a class, with or without train, val and test folders."""

import os
from pathlib import Path

import numpy as np

from unmask.data.decode import SUFFIXES
from unmask.data.naming import is_junk, natural_key, shown
from unmask.data.source import SPLIT_NAMES, TRAIN, UNASSIGNED, UNLABELLED, Files, Source, split_array
from unmask.errors import UserError


def list_images(root: Path) -> tuple[list[Path], dict[str, int]]:
    """All image files below a folder, each once, in natural order, relative to it.

    Links to folders are followed, but no folder is entered twice.

    Returns:
        Paths relative to root, and how many files of other suffixes were left aside.
    """
    found: list[Path] = []
    others: dict[str, int] = {}
    seen: set[tuple[int, int]] = set()
    for folder, subfolders, files in os.walk(root, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted((name for name in subfolders if not is_junk(name)), key=natural_key)
        for name in files:
            suffix = Path(name).suffix.lower()
            if is_junk(name):
                continue
            if suffix in SUFFIXES:
                found.append(Path(folder, name).relative_to(root))
            else:
                others[suffix or name] = others.get(suffix or name, 0) + 1
    return sorted(found, key=lambda path: [natural_key(part) for part in path.parts]), others


def read_folder(root: Path, *, labels: bool, page: int = 0, pages_are_channels: bool = False) -> Source:
    """A folder as a source.

    Layouts, tried in this order: split folders (train, val or valid, test, unlabelled) that hold class folders or
    images; class folders, whose images may lie deeper; images directly in the folder, which are unlabelled.

    Args:
        root: the folder.
        labels: whether class labels are needed.
        page: page of a multi-page file.
        pages_are_channels: stack all pages as channels instead.

    Raises:
        UserError: no image, or no labels where they are needed; the message says what was expected and found.
    """
    paths, others = list_images(root)
    if not paths:
        found = ", ".join(f"{n} {suffix}" for suffix, n in sorted(others.items())) or "no file"
        raise UserError(f"{root}: no readable image in this folder (found {found}); images end in "
                        f"{' '.join(sorted(SUFFIXES))}")  # fmt: skip
    has_splits = any(len(path.parts) > 1 and SPLIT_NAMES.get(path.parts[0].lower()) for path in paths)
    splits, class_names = _place(paths, has_splits)
    classes = _classes(class_names, splits)
    if labels and len(classes) < 2:
        raise UserError(_no_classes(root, paths, classes))
    index = {name: i for i, name in enumerate(classes)} if len(classes) > 1 else {}
    return Source(
        names=tuple(shown(path) for path in paths),
        labels=np.asarray([index.get(name, -1) for name in class_names], np.int64),
        classes=classes if index else (),
        splits=split_array(splits),
        images=Files(tuple(root / path for path in paths), page, pages_are_channels),
        notes=_notes(root, has_splits, others, classes, class_names, splits),
    )


def _place(paths: list[Path], has_splits: bool) -> tuple[list[str], list[str]]:
    """Split and class folder of every path; class "" where there is none."""
    splits, names = [], []
    for path in paths:
        folders = path.parts[:-1]
        split = SPLIT_NAMES.get(folders[0].lower(), UNLABELLED) if has_splits and folders else UNASSIGNED
        if has_splits or (folders and SPLIT_NAMES.get(folders[0].lower()) == UNLABELLED):
            split, folders = (split or UNLABELLED), folders[1:]
        splits.append(split)
        names.append(folders[0] if folders and split != UNLABELLED else "")
    return splits, names


def _classes(class_names: list[str], splits: list[str]) -> tuple[str, ...]:
    return tuple(sorted({name for name in class_names if name}, key=natural_key))


def _no_classes(root: Path, paths: list[Path], classes: tuple[str, ...]) -> str:
    found = f"one class folder, {shown(Path(classes[0]))}" if classes else f"{len(paths)} images in no class folder"
    return (
        f"{root}: labels need one folder a class, two or more, or train, val and test folders that hold them; "
        f"found {found}. A manifest (CSV: path,label) is the other way"
    )


def _notes(
    root: Path, has_splits: bool, others: dict[str, int], classes: tuple[str, ...], names: list[str], splits: list[str]
) -> tuple[str, ...]:
    notes = []
    if others:
        listed = ", ".join(f"{n} {suffix}" for suffix, n in sorted(others.items()))
        notes.append(f"{sum(others.values())} files with other suffixes were left aside: {listed}")
    if len(classes) > 1:
        tops = {"": root}
        if has_splits:
            folders = [folder for folder in root.iterdir() if folder.is_dir()]
            tops = {SPLIT_NAMES[f.name.lower()]: f for f in folders if f.name.lower() in SPLIT_NAMES}
        for split, top in tops.items():
            if split == UNLABELLED:
                continue
            full = {name for name, where in zip(names, splits, strict=True) if name and (where == split or not split)}
            listed_folders = {folder.name for folder in top.iterdir() if folder.is_dir() and not is_junk(folder.name)}
            empty = sorted((set(classes) | listed_folders) - full - set(SPLIT_NAMES), key=natural_key)
            notes += [f"class {shown(Path(name))} has no image in {top.name}" for name in empty]
    if has_splits and TRAIN not in splits:
        notes.append(f"{root}: no train folder")
    return tuple(notes)

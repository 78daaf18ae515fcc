"""A folder of images: flat, nested, one folder per class, with or without train, val and test folders."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from unmask.data.decoding.decode import SUFFIXES
from unmask.data.file_names import is_junk, natural_key
from unmask.data.sources.manifest import NO_LABEL, encode_labels
from unmask.data.sources.source import SPLIT_NAMES, TRAIN, UNASSIGNED, UNLABELED, Files, Source, split_array
from unmask.data.string_table import Texts
from unmask.errors import UserError
from unmask.wording import printable


@dataclass(frozen=True)
class Listing:
    """What lies below a folder, relative to it, in natural order, each once."""

    images: tuple[Path, ...]
    folders: tuple[Path, ...]
    others: dict[str, int]
    """Suffix → number of files that are neither images nor junk."""


def list_images(root: Path) -> Listing:
    """Everything below a folder. Links to folders are followed, but no folder is entered twice."""
    images: list[Path] = []
    folders: list[Path] = []
    others: Counter[str] = Counter()
    seen: set[tuple[int, int]] = set()
    for folder, subfolders, files in os.walk(root, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted((name for name in subfolders if not is_junk(name)), key=natural_key)
        folders += [Path(folder, name).relative_to(root) for name in subfolders]
        names = [name for name in files if not is_junk(name)]
        images += [Path(folder, name).relative_to(root) for name in names if _suffix(name) in SUFFIXES]
        others.update(_suffix(name) or printable(name) for name in names if _suffix(name) not in SUFFIXES)
    return Listing(tuple(sorted(images, key=_path_key)), tuple(sorted(folders, key=_path_key)), dict(others))


def read_folder(root: Path, *, labels: bool, listing: Listing | None = None) -> Source:
    """A folder as a source.

    Layouts: split folders (train, with val or valid, test, unlabeled beside it) that hold class folders or images;
    else class folders, whose images may lie deeper, with unlabeled images beside them or in a folder `unlabeled`;
    else images alone. Fewer than two class folders are no classes.

    Args:
        root: the folder.
        labels: whether class labels are needed.
        listing: what lies below it, where that is known already.

    Raises:
        UserError: no image, or no labels where they are needed; the message says what was expected and found.
    """
    listing = listing or list_images(root)
    if not listing.images:
        raise UserError(_no_image(root, listing))
    has_splits = _has_splits(listing)
    places = [_place(path, has_splits) for path in listing.images]
    classes, codes = encode_labels([name for _, name in places])
    if len(classes) < 2:
        if labels:
            raise UserError(_no_classes(root, listing, classes))
        classes, codes = (), codes * 0 - 1
    return Source(
        names=Texts.of(printable(path) for path in listing.images),
        labels=codes,
        classes=classes,
        splits=split_array([split for split, _ in places]),
        images=Files(root, Texts.of(map(str, listing.images))),
        notes=_notes(listing, has_splits, places, classes),
    )


def _suffix(name: str) -> str:
    return Path(name).suffix.lower()


def _path_key(path: Path) -> list[object]:
    return [natural_key(part) for part in path.parts]


def _has_splits(listing: Listing) -> bool:
    """Whether the top folders are splits: one is for training, or all have names of splits."""
    tops = [SPLIT_NAMES.get(folder.name.lower()) for folder in listing.folders if len(folder.parts) == 1]
    return TRAIN in tops or (bool(tops) and all(top not in (None, UNLABELED) for top in tops))


def _place(path: Path, has_splits: bool) -> tuple[str, str]:
    """Split and class folder of an image; class "" where there is none."""
    folders = path.parts[:-1]
    top = SPLIT_NAMES.get(folders[0].lower(), UNASSIGNED) if folders else UNASSIGNED
    if has_splits:
        return top or UNLABELED, folders[1] if len(folders) > 1 and top not in (UNASSIGNED, UNLABELED) else ""
    return (UNLABELED, "") if top == UNLABELED or not folders else (UNASSIGNED, folders[0])


def _no_image(root: Path, listing: Listing) -> str:
    found = ", ".join(f"{n} {suffix}" for suffix, n in sorted(listing.others.items())) or "no file"
    dicom = "; DICOM is not read: convert it to 16-bit PNG, TIFF or .npy" if ".dcm" in listing.others else ""
    saved = f"; what save_to_disk wrote is named hf:{root}" if ".arrow" in listing.others else ""
    return (
        f"{root}: no image below this folder (found {found}); images end in {' '.join(sorted(SUFFIXES))}{dicom}{saved}"
    )


def _no_classes(root: Path, listing: Listing, classes: tuple[str, ...]) -> str:
    found = f"one class folder, {classes[0]}," if classes else "no class folder"
    return (
        f"{root}: labels need one folder per class, two or more, or train, val and test folders that hold them; found "
        f"{found} and {len(listing.images)} images. A manifest (CSV: path,label) is the other way"
    )


def _notes(
    listing: Listing, has_splits: bool, places: list[tuple[str, str]], classes: tuple[str, ...]
) -> tuple[str, ...]:
    notes = []
    if listing.others:
        listed = ", ".join(f"{n} {suffix}" for suffix, n in sorted(listing.others.items()))
        notes.append(f"{sum(listing.others.values())} files with other suffixes were left aside: {listed}")
    loose = sum(name in NO_LABEL for _, name in places) if classes else 0
    if loose:
        minus = ", or in -1 for no label," if any(name for _, name in places if name in NO_LABEL) else ""
        notes.append(f"{loose} images in no class folder{minus} are seen by pretraining only")
    full = {Path(*path.parts[:depth]) for path in listing.images for depth in (1, 2)}
    depth = 2 if has_splits else 1
    for folder in listing.folders:
        if len(folder.parts) == depth and folder not in full and SPLIT_NAMES.get(folder.name.lower()) is None:
            notes.append(f"class folder {printable(folder)} is empty")
    return tuple(notes)

"""A folder of images: flat, nested, one folder per class, with or without train, val and test folders."""

import re
from collections import Counter
from pathlib import Path
from typing import Literal

from unmask.data.decoding.decode import SUFFIXES
from unmask.data.sources.hidden_splits import HiddenSplits, hidden_splits
from unmask.data.sources.listing import Listing, list_images
from unmask.data.sources.manifest_texts import encode_labels, is_no_label
from unmask.data.sources.source import (
    SPLIT_NAMES,
    TEST,
    TRAIN,
    UNASSIGNED,
    UNLABELED,
    VAL,
    Files,
    Source,
    held_out_name,
    split_array,
)
from unmask.data.string_table import Texts
from unmask.errors import UserError
from unmask.wording import plural, printable

_MASK = re.compile(r"(.+?)[_.-](?:mask|masks|label|labels|seg|segmentation|gt)", re.IGNORECASE)


def read_folder(root: Path, *, labels: bool, listing: Listing | None = None) -> Source:
    """A folder as a source; `listing` is what lies below it, if that is known already.

    Layouts: split folders (train, with val or valid, test, unlabeled beside it) that hold class folders or images;
    else class folders, whose images may lie deeper, with unlabeled images beside them or in a folder `unlabeled`;
    else images alone. Fewer than two class folders do not count as classes.

    Raises:
        UserError: no image, or no labels although they are needed; the message says what was expected and found.
    """
    listing = listing or list_images(root)
    if not listing.images:
        raise UserError(_no_image(root, listing))
    has_splits = _has_splits(listing)
    _require_known_parts(root, listing, has_splits, labels=labels)
    inner = not has_splits and _inner_splits(listing) == "all"
    places = [_place(path, has_splits, inner) for path in listing.images]
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


def _require_known_parts(root: Path, listing: Listing, has_splits: bool, *, labels: bool) -> None:
    """Raise `UserError` if images that are held out by their folder's name would be trained on, or not scored.

    Beside split folders: a folder named like a held-out part, but not like a split; in them: val or test without
    class folders although training has them. In class folders: split folders in some of them. Without split folders:
    two folders that are splits by other names.
    """
    if has_splits:
        tops = dict.fromkeys(path.parts[0] for path in listing.images if len(path.parts) > 1)
        for top in tops:
            if top.lower() not in SPLIT_NAMES and (meant := held_out_name(top)):
                raise UserError(
                    f"{root}: {printable(top)} beside the split folders looks held out, but is not named as one: "
                    f"rename it to {meant}, or to unlabeled if pretraining may see it"
                )
        if labels:
            _require_classes_in_all_splits(root, listing)
    elif _inner_splits(listing) == "some":
        raise UserError(
            f"{root}: some class folders hold folders called train, val or test, and others do "
            "not: put all images of all classes into such folders, or rename these folders"
        )
    elif _inner_splits(listing) == "none" and (found := hidden_splits(listing.images)):
        raise UserError(f"{root}: {_not_named(root, listing, found)}")


def _not_named(root: Path, listing: Listing, found: HiddenSplits) -> str:
    """What is wrong with two folders that look like splits, and what to do."""
    pair = f"{printable(found.training)} and {printable(found.held_out)}"
    depth, tops = len(found.parent.parts), {path.parts[0] for path in listing.images}
    if depth == 0 or (depth == 1 and len(tops) > 1):
        where, fix = "", f"rename them to train and {found.split}"
    else:
        where, fix = f" in {printable(found.parent)}", f"give {printable(root / found.parent)} as the data"
    return (
        f"{pair}{where} look like training and held-out images, but are not read as splits: {fix}; or put what "
        "pretraining may see into a folder called unlabeled"
    )


def _require_classes_in_all_splits(root: Path, listing: Listing) -> None:
    with_classes = {SPLIT_NAMES.get(path.parts[0].lower()) for path in listing.images if len(path.parts) > 2}
    flat = Counter(path.parts[0] for path in listing.images if len(path.parts) == 2)
    for top, count in flat.items():
        split = SPLIT_NAMES.get(top.lower())
        if TRAIN in with_classes and split in (VAL, TEST) and split not in with_classes:
            raise UserError(
                f"{root}: {plural(count, 'image')} in {printable(top)} in no class folder, unlike those of training: "
                "nothing could be scored on them; give them class folders, or a manifest (CSV: path,label,split)"
            )


def _inner_splits(listing: Listing) -> Literal["all", "some", "none"]:
    """Whether class folders hold split folders, as in cat/train/1.png: all of them, with all their images, or some."""
    inner = [SPLIT_NAMES.get(path.parts[1].lower()) if len(path.parts) > 2 else None for path in listing.images]
    named = set(inner) - {None, UNASSIGNED}
    if TRAIN not in named or not named & {VAL, TEST}:
        return "none"
    return "some" if None in inner else "all"


def _has_splits(listing: Listing) -> bool:
    """Whether the top folders are splits: one is for training, or all have names of splits.

    A folder called train that holds images and no folders, beside others none of which has the name of a split, is
    a class.
    """
    tops = {folder.name: SPLIT_NAMES.get(folder.name.lower()) for folder in listing.folders if len(folder.parts) == 1}
    if sum(split is None for split in tops.values()) > 1 and not set(tops.values()) & {VAL, TEST, UNLABELED}:
        deep = {path.parts[0] for path in listing.images if len(path.parts) > 2}
        if not any(top in deep for top, split in tops.items() if split == TRAIN):
            return False
    return TRAIN in tops.values() or (bool(tops) and all(top not in (None, UNLABELED) for top in tops.values()))


def _place(path: Path, has_splits: bool, inner: bool) -> tuple[str, str]:
    """Split and class folder of an image; class "" if there is none."""
    folders = path.parts[:-1]
    top = SPLIT_NAMES.get(folders[0].lower(), UNASSIGNED) if folders else UNASSIGNED
    if has_splits:
        return top or UNLABELED, folders[1] if len(folders) > 1 and top not in (UNASSIGNED, UNLABELED) else ""
    if inner and len(folders) > 1:
        return SPLIT_NAMES[folders[1].lower()], folders[0]
    return (UNLABELED, "") if top == UNLABELED or not folders else (UNASSIGNED, folders[0])


def _no_image(root: Path, listing: Listing) -> str:
    found = ", ".join(f"{n} {suffix}" for suffix, n in sorted(listing.others.items())) or "no file"
    dicom = "; DICOM is not read: convert it to 16-bit PNG, TIFF or .npy" if ".dcm" in listing.others else ""
    saved = f"; to read what save_to_disk wrote, give hf:{root}" if ".arrow" in listing.others else ""
    return (
        f"{root}: no image below this folder (found {found}); images end in {' '.join(sorted(SUFFIXES))}{dicom}{saved}"
    )


def _no_classes(root: Path, listing: Listing, classes: tuple[str, ...]) -> str:
    found = f"one class folder, {classes[0]}," if classes else "no class folder"
    return (
        f"{root}: labels need one folder per class, two or more, or train, val and test folders that hold them; found "
        f"{found} and {len(listing.images)} images. A manifest (CSV: path,label) works too"
    )


def _notes(
    listing: Listing, has_splits: bool, places: list[tuple[str, str]], classes: tuple[str, ...]
) -> tuple[str, ...]:
    notes = list(listing.aside)
    if listing.others:
        listed = ", ".join(f"{n} {suffix}" for suffix, n in sorted(listing.others.items()))
        notes.append(f"files skipped for their suffix: {listed}")
    loose = [split for split, name in places if is_no_label(name)] if classes else []
    if trained := sum(split not in (VAL, TEST) for split in loose):
        odd = dict.fromkeys(name for _, name in places if name and is_no_label(name))
        also = f", or in {' or '.join(map(printable, odd))} for no label," if odd else ""
        verb = "is" if trained == 1 else "are"
        notes.append(f"{plural(trained, 'image')} in no class folder{also} {verb} seen by pretraining only")
    if unused := len(loose) - trained:
        verb = "is" if unused == 1 else "are"
        notes.append(f"{plural(unused, 'image')} of val and test in no class folder {verb} not used")
    notes += [*_notes_on_folders(listing, has_splits, classes), *_notes_on_masks(listing)]
    return tuple(notes)


def _notes_on_folders(listing: Listing, has_splits: bool, classes: tuple[str, ...]) -> list[str]:
    """Notes about folders that a user may mistake for something else."""
    notes = []
    tops = Counter(path.parts[0] for path in listing.images if len(path.parts) > 1)
    for top, count in tops.items():
        known = SPLIT_NAMES.get(top.lower())
        if has_splits and known is None:
            notes.append(
                f"{plural(count, 'image')} in {printable(top)}, which is not a split, {'is' if count == 1 else 'are'} "
                "seen by pretraining only"
            )
        elif not has_splits and classes and (known not in (None, UNLABELED) or held_out_name(top)):
            notes.append(f"the folder {printable(top)} is read as a class, like those beside it, not as a split")
    full = {Path(*path.parts[:depth]) for path in listing.images for depth in (1, 2)}
    depth = 2 if has_splits else 1
    for folder in listing.folders:
        if len(folder.parts) == depth and folder not in full and SPLIT_NAMES.get(folder.name.lower()) is None:
            notes.append(f"class folder {printable(folder)} is empty")
    return notes


def _notes_on_masks(listing: Listing) -> list[str]:
    """A note about images that are named like masks of others: they are read as images nevertheless."""
    stems = {path.with_suffix("") for path in listing.images}
    masks = [
        path for path in listing.images if (found := _MASK.fullmatch(path.stem)) and path.with_name(found[1]) in stems
    ]
    if not masks:
        return []
    first = printable(masks[0])
    return [
        f"{plural(len(masks), 'image')} are named like masks of others (e.g. {first}) and read as images: move them "
        "elsewhere if they are masks"
    ]

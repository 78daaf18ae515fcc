"""A folder with images/ and masks/ in it: the mask of an image has its path and stem below masks/."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unmask.data.decoding.mask import MaskCode
from unmask.data.sources.listing import Listing
from unmask.data.sources.mask_classes import find_classes
from unmask.data.sources.source import SPLIT_NAMES, UNASSIGNED, UNLABELED, Files, Masks, Source, split_array
from unmask.data.string_table import Texts
from unmask.errors import UserError
from unmask.wording import plural, printable

IMAGES, MASKS = "images", "masks"


@dataclass(frozen=True)
class _Place:
    """Where a file lies: in images/ or masks/ (or neither), and what it must share with its partner."""

    kind: str
    key: tuple[str, ...]
    """Folders without images or masks, and the stem."""
    split: str


def has_masks(listing: Listing) -> bool:
    """Whether a folder called masks lies beside one called images, with files in both."""
    kinds: dict[tuple[str, ...], set[str]] = {}
    for path in listing.images:
        for depth, part in enumerate(path.parts[:-1]):
            if part.lower() in (IMAGES, MASKS):
                kinds.setdefault(path.parts[:depth], set()).add(part.lower())
    return any(len(found) == 2 for found in kinds.values())


def read_mask_folder(root: Path, listing: Listing) -> Source:
    """A folder of images and masks as a source.

    Layouts: images/ and masks/; with folders in both alike, such as images/train and masks/train; or split folders
    (train, with val, test) that hold the two. Images without a mask, and those in a folder `unlabeled`, are unlabeled.
    classes.csv or classes.json in `root`, or in masks/, names the classes.

    Raises:
        UserError: a mask without its image, two files of one stem, or images in neither folder.
    """
    places = {path: _place(path) for path in listing.images}
    images = [path for path, place in places.items() if place.kind == IMAGES]
    _require_places(root, places)
    masks = _by_key(root, {path: place for path, place in places.items() if place.kind == MASKS}, "masks")
    known = _by_key(root, {path: places[path] for path in images if places[path].key in masks}, "images")
    for key, mask in masks.items():
        if key not in known:
            raise UserError(
                f"{root}: {printable(mask)} is a mask without its image: none called {key[-1]} in {IMAGES}/"
            )
    files = [str(masks[places[path].key]) for path in images if places[path].key in masks]
    of = np.cumsum([places[path].key in masks for path in images]) - 1
    of[[places[path].key not in masks for path in images]] = -1
    return Source(
        names=Texts.of(printable(path) for path in images),
        labels=np.full(len(images), -1, np.int64),
        classes=(),
        splits=split_array([places[path].split for path in images]),
        images=Files(root, Texts.of(map(str, images))),
        masks=Masks(Files(root, Texts.of(files)), of.astype(np.int64), _classes(root, places)),
        notes=(*listing.aside, *_notes(of)),
    )


def _classes(root: Path, places: dict[Path, _Place]) -> MaskCode:
    """What a file in `root`, or else in the topmost folder of masks, says."""
    code = find_classes(root)
    if code.names:
        return code
    tops = dict.fromkeys(_above(path) for path, place in places.items() if place.kind == MASKS)
    codes = (find_classes(root / top) for top in tops)
    return next((code for code in codes if code.names), MaskCode())


def _above(path: Path) -> Path:
    """The path of the folder called masks in it."""
    depth = next(depth for depth, part in enumerate(path.parts) if part.lower() == MASKS)
    return Path(*path.parts[: depth + 1])


def _place(path: Path) -> _Place:
    folders = [part.lower() for part in path.parts[:-1]]
    kind = next((part for part in folders if part in (IMAGES, MASKS)), "")
    others = [part for part in path.parts[:-1] if part.lower() not in (IMAGES, MASKS)]
    split = next((SPLIT_NAMES[part.lower()] for part in others if part.lower() in SPLIT_NAMES), UNASSIGNED)
    kind = IMAGES if not kind and split == UNLABELED else kind
    return _Place(kind, (*others, path.stem), split)


def _require_places(root: Path, places: dict[Path, _Place]) -> None:
    lost = [path for path, place in places.items() if not place.kind]
    if lost:
        raise UserError(
            f"{root}: {plural(len(lost), 'image')} in neither {IMAGES}/ nor {MASKS}/, e.g. {printable(lost[0])}: move "
            f"images without a mask to {IMAGES}/ or unlabeled/"
        )


def _by_key(root: Path, places: dict[Path, _Place], what: str) -> dict[tuple[str, ...], Path]:
    found: dict[tuple[str, ...], Path] = {}
    for path, place in places.items():
        if place.key in found:
            pair = f"{printable(found[place.key])} and {printable(path)}"
            raise UserError(f"{root}: {what} {pair} have one stem: which belong together is not told")
        found[place.key] = path
    return found


def _notes(of: Iterable[int]) -> tuple[str, ...]:
    count = sum(row < 0 for row in of)
    return (f"{count} images without a mask are seen by pretraining only",) if count else ()

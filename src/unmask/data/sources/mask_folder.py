"""A folder of images and masks: images/ beside masks/, in which the mask of an image has its path and stem."""

from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np

from unmask.config.metric import TaskName, label_form
from unmask.data.decoding.mask import MaskCode
from unmask.data.sources.hidden_splits import hidden_splits
from unmask.data.sources.listing import Listing
from unmask.data.sources.mask_classes import find_classes
from unmask.data.sources.source import SPLIT_NAMES, UNASSIGNED, UNLABELED, Files, Masks, Source, mask_rows, split_array
from unmask.data.string_table import Texts
from unmask.errors import UserError
from unmask.wording import plural, printable

IMAGES, MASKS = "images", "masks"
MAYBE_MASKS = ("mask", "labels", "annotations", "segmentation", "segmentations", "ground_truth", "gt")
"""Other names of folders of masks, which may also hold something else beside images."""


@dataclass(frozen=True)
class _Place:
    """Where a file lies: among images or masks (or neither), and the key it shares with its partner."""

    kind: str
    key: tuple[str, ...]
    """The folders except that of images or masks, and the stem."""
    split: str


def find_masks(root: Path, listing: Listing, asked: TaskName | None = None) -> str | None:
    """The name of the folders of masks beside images/; None if there are none.

    masks/ is one unless another task is requested; a folder named in `MAYBE_MASKS` is one if segmentation is requested.

    Raises:
        UserError: no task is requested, and a folder beside images/ may hold masks or a class; or several may.
    """
    if label_form(asked) not in (None, "mask") or not any(one.name.lower() == IMAGES for one in listing.folders):
        return None
    beside: dict[tuple[str, ...], set[str]] = {}
    for path in listing.images:
        for depth, part in enumerate(path.parts[:-1]):
            beside.setdefault(path.parts[:depth], set()).add(part.lower())
    found = {name for names in beside.values() if IMAGES in names for name in names}
    if MASKS in found:
        return MASKS
    maybe = [name for name in MAYBE_MASKS if name in found]
    if maybe and asked is None:
        raise UserError(
            f"{root}: {IMAGES}/ and {maybe[0]}/ may be images with masks or two classes: say which with `task`, "
            "segmentation or classification"
        )
    if maybe[1:]:
        raise UserError(
            f"{root}: {maybe[0]}/ and {maybe[1]}/ lie beside {IMAGES}/: rename the one with masks to {MASKS}"
        )
    return maybe[0] if maybe else None


def read_mask_folder(root: Path, listing: Listing, masks_in: str = MASKS) -> Source:
    """A folder of images, and of masks in folders called `masks_in`, as a source.

    Layouts: images/ and masks/; with the same folders in both, such as images/train and masks/train; or split folders
    (train, with val, test) that hold the two. Images without a mask, and those in a folder `unlabeled`, are unlabeled.
    classes.csv or classes.json in `root`, or in masks/, names the classes.

    Raises:
        UserError: a mask without its image, two files with the same stem, images in neither folder, or images that are
            held out by the name of their folder, which is not that of a split.
    """
    places = {path: _place(path, masks_in) for path in listing.images}
    images = [path for path, place in places.items() if place.kind == IMAGES]
    _require_places(root, places, masks_in)
    masks = _by_key(root, {path: place for path, place in places.items() if place.kind == MASKS}, "masks")
    known = _by_key(root, {path: places[path] for path in images if places[path].key in masks}, "images")
    for key, mask in masks.items():
        if key not in known:
            raise UserError(
                f"{root}: {printable(mask)} is a mask without its image: none called {key[-1]} in {IMAGES}/"
            )
    files = [str(masks[places[path].key]) for path in images if places[path].key in masks]
    of = mask_rows(np.asarray([places[path].key in masks for path in images], bool))
    found = Masks(Files(root, Texts.of(files)), of, _classes(root, places, masks_in))
    return Source(
        names=Texts.of(printable(path) for path in images),
        labels=np.full(len(images), -1, np.int64),
        classes=(),
        splits=split_array([places[path].split for path in images]),
        images=Files(root, Texts.of(map(str, images))),
        masks=found,
        notes=(*listing.aside, *found.notes),
    )


def _classes(root: Path, places: dict[Path, _Place], masks_in: str) -> MaskCode:
    """The classes named by a file in `root`, or else in the topmost folder of masks."""
    code = find_classes(root)
    if code.names:
        return code
    tops = dict.fromkeys(_above(path, masks_in) for path, place in places.items() if place.kind == MASKS)
    codes = (find_classes(root / top) for top in tops)
    return next((code for code in codes if code.names), MaskCode())


def _above(path: Path, masks_in: str) -> Path:
    """The path of the folder of masks in it."""
    depth = next(depth for depth, part in enumerate(path.parts) if part.lower() == masks_in)
    return Path(*path.parts[: depth + 1])


def _place(path: Path, masks_in: str) -> _Place:
    known = {IMAGES: IMAGES, masks_in: MASKS}
    folders = [part.lower() for part in path.parts[:-1]]
    kind = next((known[part] for part in folders if part in known), "")
    others = [part for part in path.parts[:-1] if part.lower() not in known]
    split = next((SPLIT_NAMES[part.lower()] for part in others if part.lower() in SPLIT_NAMES), UNASSIGNED)
    kind = IMAGES if not kind and split == UNLABELED else kind
    return _Place(kind, (*others, path.stem), split)


def _require_places(root: Path, places: dict[Path, _Place], masks_in: str) -> None:
    lost = [path for path, place in places.items() if not place.kind]
    if lost:
        raise UserError(
            f"{root}: {plural(len(lost), 'image')} in neither {IMAGES}/ nor {masks_in}/, e.g. {printable(lost[0])}: "
            f'move images without a mask to {IMAGES}/ or unlabeled/; if folders are classes: `task="classification"`'
        )
    if found := hidden_splits((PurePath(*place.key) for place in places.values()), known=True):
        raise UserError(
            f"{root}: {printable(found.held_out)} beside {printable(found.training)} looks held out, but is not named "
            f"as a split: rename it to {found.split}, or to unlabeled if pretraining may see it"
        )


def _by_key(root: Path, places: dict[Path, _Place], what: str) -> dict[tuple[str, ...], Path]:
    found: dict[tuple[str, ...], Path] = {}
    for path, place in places.items():
        if place.key in found:
            pair = f"{printable(found[place.key])} and {printable(path)}"
            raise UserError(f"{root}: {what} {pair} have the same stem: it is unclear which belong together")
        found[place.key] = path
    return found

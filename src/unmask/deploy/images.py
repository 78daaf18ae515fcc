"""Any images, read exactly as those that a run was evaluated on."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unmask.config import DataConfig
from unmask.data.cache import fill_cache, stored_bytes
from unmask.data.content import digest_rows, digest_stored
from unmask.data.form import TOP, Form, Kind, widest
from unmask.data.imageset import ImageSet
from unmask.data.load import image_set, make_plan, require_whole
from unmask.data.pixels import CachedPixels, Pixels, StreamedPixels
from unmask.data.read import read_source
from unmask.data.scan import scan
from unmask.data.source import Source
from unmask.data.texts import take
from unmask.deploy.trained import Trained
from unmask.errors import UserError
from unmask.weights import Card

ALL = "all"


@dataclass(frozen=True)
class Chosen:
    """Images to work on, the names of their labels, and a message for each file that was left out."""

    images: ImageSet
    classes: tuple[str, ...]
    bad_files: tuple[str, ...]


def choose_images(
    trained: Trained,
    data: str | None,
    *,
    split: str = ALL,
    on_bad_file: Literal["error", "skip"] = "error",
    limit: int | None = None,
    progress: bool = False,
) -> Chosen:
    """Images of a data set at the run's size, channels and value range.

    Labels are those of the data, -1 where there are none; their names need not be the run's classes.

    Args:
        trained: the run.
        data: what `DataConfig.data` takes; None for the run's own data.
        split: "all", or a set of the data under the run's shares and seed: train, val, test, ...
        on_bad_file: stop at an unreadable file, or leave it out.
        limit: read at most so many images, spread evenly over the data.
        progress: show a bar while files are decoded.

    Raises:
        UserError: nothing there, no such split, an unreadable file, or pixels of another range than the run's.
    """
    config = _data_config(trained, data, on_bad_file)
    source = read_source(config, labels=False, progress=progress)
    require_whole(config, source)
    if limit is not None:
        source = _some(source, limit)
    found = scan(source, config, progress=progress)
    form, bad = replace(found.form, kind=widest({found.form.kind, kind_of_card(trained.card)})), found.bad
    values = None
    if stored_bytes(len(source.names), form) <= config.cache_mib * 2**20:
        values, failed = fill_cache(source.images, form, progress=progress)
        bad |= failed
    _require_readable(config, len(source.names), bad)
    rows = _rows(config, source, bad, values, split)
    pixels = _pixels(source, form, trained.card, values)
    _require_same_range(config, trained.card, pixels, rows, form.kind)
    return Chosen(image_set(config, source, pixels, rows), source.classes, (*source.damaged, *bad.values()))


def kind_of_card(card: Card) -> Kind:
    """The number type of the stored values: what the card says, else what its value range tells."""
    if card.kind is not None:
        return card.kind
    if card.value_range[0] == 0 and card.value_range[1] in (255, 65535):
        return "uint8" if card.value_range[1] == 255 else "uint16"
    return "float32"


def _data_config(trained: Trained, data: str | None, on_bad_file: Literal["error", "skip"]) -> DataConfig:
    own = data is None or data == trained.data.data
    return replace(
        trained.data,
        data=trained.data.data if data is None else data,
        options=trained.data.options if own else None,
        image_size=trained.card.image_size,
        channels=trained.card.channels,
        on_bad_file=on_bad_file,
    )


def _some(source: Source, limit: int) -> Source:
    """A source of at most `limit` of the images."""
    count = len(source.names)
    rows = torch.linspace(0, count - 1, min(limit, count)).round().long().numpy()
    return replace(
        source,
        names=take(source.names, rows),
        labels=source.labels[rows],
        splits=source.splits[rows],
        groups=None if source.groups is None else source.groups[rows],
        images=source.images.take(rows),
        extra_tests={},
    )


def _require_readable(config: DataConfig, count: int, bad: dict[int, str]) -> None:
    if bad and (config.on_bad_file == "error" or len(bad) == count):
        mend = "" if len(bad) == count else "; --on-bad-file skip leaves such files out"
        raise UserError(f"{next(iter(bad.values()))}{mend}")


def _rows(
    config: DataConfig, source: Source, bad: dict[int, str], values: Tensor | None, split: str
) -> NDArray[np.int64]:
    """Readable rows of all the images, or of one set as `load_data` would draw it."""
    if split == ALL:
        return np.setdiff1d(np.arange(len(source.names)), list(bad))
    digests = digest_stored(source.images) if values is None else digest_rows(values)
    sets = make_plan(config, source, bad, digests).sets()
    if split not in sets:
        raise UserError(f"split = {split!r}: {config.data} has {', '.join([ALL, *sets])}")
    return sets[split]


def _pixels(source: Source, form: Form, card: Card, values: Tensor | None) -> Pixels:
    """The card's value range in units of the form: an 8-bit range on 16-bit pixels is 257 times wider."""
    unit = TOP[form.kind] / TOP[kind_of_card(card)]
    scale = (card.value_range[0] * unit, card.value_range[1] * unit)
    if values is None:
        return StreamedPixels(source.images, form, scale, card.clipped)
    return CachedPixels(values, scale, card.clipped)


def _require_same_range(config: DataConfig, card: Card, pixels: Pixels, rows: NDArray[np.int64], kind: Kind) -> None:
    """Raise where floats are given to an encoder of 8- or 16-bit images and are not in 0..1."""
    trained = kind_of_card(card)
    if kind != "float32" or trained == "float32" or not len(rows):
        return
    plain = replace(pixels, scale=(0.0, 1.0), clip=False)  # type: ignore[type-var]
    values, _ = plain.read(torch.from_numpy(rows[:32]))
    low, high = float(values.nan_to_num(0).min()), float(values.nan_to_num(0).max())
    if low < 0 or high > 1:
        raise UserError(
            f"{config.data}: pixel values from {low:g} to {high:g}, but the run was trained on {trained} images: give "
            f"{trained}, or floats from 0 to 1"
        )

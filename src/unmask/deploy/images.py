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
from unmask.data.image_format import ImageFormat
from unmask.data.imageset import ImageSet
from unmask.data.load import image_set, make_plan, require_whole
from unmask.data.pixels import CachedPixels, StreamedPixels
from unmask.data.read import read_source
from unmask.data.scan import scan
from unmask.data.source import Images, Source
from unmask.data.texts import take
from unmask.deploy.trained import Trained
from unmask.errors import UserError

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
    format, bad = trained.card.format.holding(found.format.kind), found.bad
    values = None
    if stored_bytes(len(source.names), format) <= config.cache_mib * 2**20:
        values, failed = fill_cache(source.images, format, progress=progress)
        bad |= failed
    _require_readable(config, len(source.names), bad)
    rows = _rows(config, source, bad, values, split)
    _require_same_range(config, trained.card.format, source.images, rows, format)
    pixels = StreamedPixels(source.images, format) if values is None else CachedPixels(values, format)
    return Chosen(image_set(config, source, pixels, rows), source.classes, (*source.damaged, *bad.values()))


def _data_config(trained: Trained, data: str | None, on_bad_file: Literal["error", "skip"]) -> DataConfig:
    own = data is None or data == trained.data.data
    return replace(
        trained.data,
        data=trained.data.data if data is None else data,
        options=trained.data.options if own else None,
        image_size=trained.card.format.size,
        channels=trained.card.format.channels,
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


def _require_same_range(
    config: DataConfig, trained: ImageFormat, images: Images, rows: NDArray[np.int64], found: ImageFormat
) -> None:
    """Raise where floats are given to an encoder of 8- or 16-bit images and are not in 0..1."""
    if found.kind != "float32" or trained.kind == "float32" or not len(rows):
        return
    plain = StreamedPixels(images, ImageFormat.plain(found.size, found.channels, "float32"))
    values, _ = plain.read(torch.from_numpy(rows[:32]))
    low, high = float(values.nan_to_num(0).min()), float(values.nan_to_num(0).max())
    if low < 0 or high > 1:
        raise UserError(
            f"{config.data}: pixel values from {low:g} to {high:g}, but the run was trained on {trained.kind} images: "
            f"give {trained.kind}, or floats from 0 to 1"
        )

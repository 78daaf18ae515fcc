"""A quick look at a data set before it is read: how many images it has, and how large they are, from a sample."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from unmask.config.data import DataConfig
from unmask.config.metric import DEFAULT_TASK
from unmask.data.headers import scan
from unmask.data.load import Dataset
from unmask.data.sources.read import read_source
from unmask.data.sources.samples import Fields
from unmask.data.sources.shard_files import shards_of
from unmask.data.sources.shards import read_shards
from unmask.data.sources.source import Source
from unmask.data.sources.torch_dataset import PREFIX, Given, read_given
from unmask.errors import UserError

LOOKED_AT = 64
"""Images whose size is read, spread evenly over the data set."""
SHARDS = 4
"""Shards that are listed, spread evenly."""


@dataclass(frozen=True)
class Glance:
    """The number of images, and their size."""

    images: int
    """For shards, an estimate by their bytes."""
    side: int
    """Median of the images' shorter sides, in pixels."""


def glance(config: DataConfig, given: Dataset | Given | None = None) -> Glance:
    """List a data set, or take the one given, and look at the headers of a few images: the same ones every time.

    Raises:
        UserError: there is no such data set, or none of the examined images can be read.
    """
    if isinstance(given, Dataset):
        return Glance(len(given.readable), min(given.format.size))
    source, images = _listed(config, given)
    found = scan(source.evenly(LOOKED_AT), replace(config, image_size=None), progress=False)
    sides = [min(header.size) for header, count in found.headers.items() for _ in range(count)]
    if not sides:
        raise UserError(next(iter(found.bad.values())))
    return Glance(images, round(statistics.median(sides)))


def _listed(config: DataConfig, given: Given | None) -> tuple[Source, int]:
    """The images, from only some shards if there are many, and their total number."""
    if given is not None:
        source = read_given(given, PREFIX, labels=False)
        return source, len(source.names)
    shards = shards_of(config.data)
    if len(shards) <= SHARDS:
        source = read_source(_as_classes(config), labels=False)
        return source, len(source.names)
    chosen = [shards[at] for at in np.linspace(0, len(shards) - 1, SHARDS).round().astype(int)]
    source = read_shards(chosen, labels=False, fields=Fields(config.image_field, config.label_field))
    return source, round(len(source.names) * _bytes(shards) / max(1, _bytes(chosen)))


def _as_classes(config: DataConfig) -> DataConfig:
    """The task of a table's labels does not matter here, nor whether it can be determined; a folder's masks are not
    images."""
    is_folder = Path(config.data).is_dir()
    return config if is_folder else replace(config, task=DEFAULT_TASK, label_field=None)


def _bytes(files: Sequence[Path]) -> int:
    return sum(file.stat().st_size for file in files)

"""The data settings of a run for other data: what only its own data have is left out."""

from dataclasses import replace
from pathlib import Path

from unmask.config.data import DataConfig
from unmask.data.sources.huggingface import PREFIX, fields_there
from unmask.data.sources.manifest import SUFFIXES, columns_there
from unmask.data.sources.samples import Fields
from unmask.data.sources.shard_files import shards_of
from unmask.data.sources.shards import has_member


def for_other_data(config: DataConfig, data: str) -> DataConfig:
    """The settings for the data set `data`, without `options`, and with those fields that it has.

    A field that is left out is found by kind, as without a setting.

    Raises:
        UserError: data that have fields cannot be read.
    """
    if data == config.data:
        return config
    found = _fields_in(data, Fields(config.image_field, config.label_field))
    return replace(config, data=data, options=None, image_field=found.image, label_field=found.label)


def _fields_in(data: str, wanted: Fields) -> Fields:
    """Those of the wanted fields that a data set has; arrays, folders of images and single images have none."""
    if wanted == Fields():
        return wanted
    if data.startswith(PREFIX):
        return fields_there(data.removeprefix(PREFIX), wanted)
    path = Path(data)
    if path.suffix.lower() in SUFFIXES and path.is_file():
        return Fields(label=columns_there(path, wanted.label))
    shards = shards_of(data)
    if not shards:
        return Fields()
    there = wanted.image is None or has_member(shards[0], wanted.image)
    return wanted if there else Fields(label=wanted.label)

"""From the name of a data set to its source: a built-in, a folder, a file, shards, or Hugging Face's tables."""

import os
from dataclasses import replace
from pathlib import Path

from unmask.config.data import BUILT_IN, DataConfig
from unmask.config.metric import TaskName, label_form
from unmask.data.decoding.reading import reading_of
from unmask.data.sources.arrays import read_arrays
from unmask.data.sources.digits import digits
from unmask.data.sources.fashion_mnist import fashion_mnist
from unmask.data.sources.folder import read_folder
from unmask.data.sources.huggingface import PREFIX as HUGGING_FACE
from unmask.data.sources.huggingface import read_huggingface
from unmask.data.sources.listing import list_images
from unmask.data.sources.manifest import SUFFIXES as TABLES
from unmask.data.sources.manifest import read_manifest
from unmask.data.sources.mask_folder import find_masks, read_mask_folder
from unmask.data.sources.multiview_source import read_multiview
from unmask.data.sources.samples import Fields
from unmask.data.sources.shard_files import expand, find_shards, is_shards
from unmask.data.sources.shards import read_shards
from unmask.data.sources.source import Source
from unmask.data.sources.torch_dataset import PREFIX as GIVEN
from unmask.errors import UserError


def absolute_name(name: str) -> str:
    """The name of a data set that is valid in any working directory: an absolute path.

    Built-ins, data sets handed over in Python and names on a hub stay unchanged.
    """
    prefix, path = (HUGGING_FACE, name.removeprefix(HUGGING_FACE)) if name.startswith(HUGGING_FACE) else ("", name)
    elsewhere = name in BUILT_IN or name.startswith((GIVEN, "pipe:")) or "://" in name
    return name if elsewhere or (prefix and not os.path.exists(path)) else prefix + os.path.abspath(path)


def read_source(config: DataConfig, *, labels: bool, progress: bool = False) -> Source:
    """Return the data set a configuration names: built-in or a path. Files are listed, not opened; shards are indexed.

    Raises:
        UserError: no such data set, an unsupported layout, or options for data that have none.
    """
    asked = config.asked_task
    masked = label_form(asked) == "mask"
    source = _read(config, labels=labels and not masked, progress=progress)
    if labels and masked and source.masks is None:
        raise UserError(
            f"task = {asked!r}: {config.data} has no masks: folders hold them in masks/ beside images/, a table "
            "in the column mask (or that of `label_field`), a .npz in the array masks"
        )
    if labels and asked is not None and not masked and source.task is not None:
        _require_task(config, source.task.name)
    return replace(source, reading=reading_of(config))


def _require_task(config: DataConfig, found: TaskName) -> None:
    """Raise `UserError` if labels are for another task than the requested one, as labels of folders are classes."""
    if found != config.asked_task:
        raise UserError(
            f"task = {config.task!r}: the labels of {config.data} are for {found}; several labels per image and "
            "numbers come from manifests, .npz, shards and hf:"
        )


def _read(config: DataConfig, *, labels: bool, progress: bool) -> Source:
    name, path = config.data, Path(config.data)
    fields = Fields(config.image_field, config.label_field)
    if name == "multiview":
        return read_multiview(config.options or {})
    if config.options:
        raise UserError(
            f"options: {name} has none, only the built-in multiview does; found {', '.join(config.options)}"
        )
    if name == "digits":
        return digits()
    if name == "fashion-mnist":
        return fashion_mnist()
    if name.startswith(GIVEN):
        raise UserError(f"data: {name} was handed over in Python: hand it over again, or name a path with `data`")
    if name.startswith(HUGGING_FACE):
        where = name.removeprefix(HUGGING_FACE)
        return read_huggingface(where, labels=labels, fields=fields, task=config.asked_task)
    shards = expand(name) if is_shards(name) else []
    if path.is_dir():
        listing = list_images(path)
        shards = [] if listing.images else find_shards(path)
        if not shards:
            _require_no_fields(config)
            if masks := find_masks(path, listing, config.asked_task):
                return read_mask_folder(path, listing, masks)
            return read_folder(path, labels=labels, listing=listing)
    if shards:
        return read_shards(shards, labels=labels, fields=fields, progress=progress, task=config.asked_task)
    if path.suffix.lower() in TABLES and path.is_file():
        return read_manifest(path, labels=labels, label_field=config.label_field, task=config.asked_task)
    _require_no_fields(config)
    if path.suffix.lower() in (".npy", ".npz") and path.is_file():
        return read_arrays(path, labels=labels, layout=config.layout, gray=config.channels == 1, task=config.asked_task)
    place = "" if path.is_absolute() else f"; looked for in {Path.cwd()}; `data` can name another place"
    raise UserError(
        f"data: {name} is not a folder, a .csv, .tsv, .parquet, .npy, .npz or .tar file, hf:NAME or a built-in "
        f"({', '.join(BUILT_IN)}){place}"
    )


def _require_no_fields(config: DataConfig) -> None:
    """Raise `UserError` if fields are given for data that have none."""
    for name in ("image_field", "label_field"):
        if (value := getattr(config, name)) is not None:
            raise UserError(
                f'`{name}="{value}"` has no effect: {config.data} is neither a table, shards nor hf:PATH; leave it out'
            )

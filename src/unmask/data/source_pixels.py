"""Bring the images of a source to pixels of one format: decoded into the cache or streamed, compared, measured."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from unmask.config.data import DataConfig
from unmask.data.assignment import PRETRAIN, Plan
from unmask.data.bad_files import bad_file_errors, require_readable
from unmask.data.cache import fill_cache, stored_bytes
from unmask.data.decoding.image_format import ImageFormat
from unmask.data.fingerprint import Digests, digest, digest_streamed
from unmask.data.headers import scan
from unmask.data.pixels import CachedPixels, Pixels, StreamedPixels
from unmask.data.sources.source import Source
from unmask.data.statistics import (
    channel_ranges,
    channel_statistics,
    missing_notes,
    sample_rows,
    value_notes,
    value_range,
)
from unmask.data.value_units import Numbers, require_one_unit, require_unit_of
from unmask.errors import UserError


def pixels_of(
    config: DataConfig,
    source: Source,
    format: ImageFormat | None,
    *,
    progress: bool,
    after: Callable[[int], None] | None = None,
) -> tuple[Pixels, dict[int, str], tuple[str, ...]]:
    """All images, decoded if they fit the cache; a message for each that cannot be read, by its row; and notes.

    Their format is the given one, or else that of the images, not measured yet. `after` is called with the row of each
    image that was decoded.
    """
    require_readable(config, source, {})
    found = scan(source, config, progress=progress)
    bad, wanted = found.bad, found.format if format is None else format.holding(found.format.kind)
    require_readable(config, source, bad)
    if stored_bytes(len(source.names), wanted) > config.cache_mib * 2**20:
        pixels: Pixels = StreamedPixels(source.images, source.reading, wanted)
    else:
        values, failed = fill_cache(source, wanted, progress=progress, after=after)
        bad, pixels = bad | failed, CachedPixels(values, wanted)
        require_readable(config, source, bad)
    numbers = Numbers.of(config.data, source.names, found.floats, bad)
    if format is not None:
        require_unit_of(format, numbers, pixels)
        return pixels, bad, ()
    require_one_unit(numbers, pixels)
    return pixels, bad, found.notes()


def digests_of(
    pixels: Pixels, source: Source, *, progress: bool, after: Callable[[int], None] | None = None
) -> tuple[Digests, dict[int, str]]:
    """Digests of every image at the encoder's size; and a message for each row that cannot be decoded.

    `after` is called with the row of each image that is decoded now.
    """
    if isinstance(pixels, CachedPixels):
        return np.asarray([digest(image.numpy().tobytes()) for image in pixels.values], "S16"), {}
    return digest_streamed(source, pixels.format, progress=progress, after=after)


def measure_format(config: DataConfig, plan: Plan, pixels: Pixels) -> tuple[ImageFormat, tuple[str, ...]]:
    """The format with value range, mean and deviation of the pretraining images, and notes on unusual values.

    Measured on a sample if they are streamed.
    """
    rows, plain = torch.from_numpy(plan.sets()[PRETRAIN]), pixels.format
    if not len(rows):
        raise UserError(f"{config.data}: no image is left for training")
    if isinstance(pixels, CachedPixels):
        values = pixels.values
    else:
        values, failed = fill_cache(plan.source, plain, progress=False, rows=sample_rows(rows))
        for error in bad_file_errors(config, (), len(values), failed):
            raise UserError(error)
        rows = torch.as_tensor([row for row in range(len(values)) if row not in failed])
    scale = value_range(values, rows, plain.kind, config.window)
    clipped = config.window is not None
    own = channel_ranges(values, rows, plain.kind, config.window, scale)
    mean, std = channel_statistics(values, rows, scale, own, clip=clipped)
    odd = value_notes(values, rows, scale, own, clipped=clipped)
    format = replace(plain, value_range=scale, clipped=clipped, mean=mean, std=std, channel_ranges=own)
    return format, (*missing_notes(values, rows, config.nodata), *odd)

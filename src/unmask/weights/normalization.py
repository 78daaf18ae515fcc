"""Choose the mean and deviation that images are normalized with: those of the weights, or those of the data."""

from collections.abc import Sequence
from dataclasses import replace

import timm

from unmask.data.decoding.image_format import ImageFormat
from unmask.weights.card import Card
from unmask.weights.public import HUB, OF_THE_ENCODER, TIMM


def as_trained(format: ImageFormat, init: str, encoder: str, card: Card | None) -> ImageFormat:
    """The data's format with the mean and deviation that weights were trained with (public ones have no card);
    unchanged if these are unknown.

    A card has its own, which hold for stored values of its range. Public weights were trained on 8-bit RGB photographs
    with the values that timm lists for them; gray images take the means of the three. For deeper values, or for
    channels that are not colors, they are unknown.
    """
    if card is not None:
        own = card.format
        known = own.channels == format.channels and own.kind == format.kind
        known = known and (own.value_range, own.channel_ranges) == (format.value_range, format.channel_ranges)
        return replace(format, mean=own.mean, std=own.std) if known else format
    if format.kind != "uint8" or format.channels not in (1, 3) or init.startswith(HUB):
        return format
    name = init.removeprefix(TIMM) if init.startswith(TIMM) and init != OF_THE_ENCODER else encoder
    listed = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    if listed is None:
        return format
    return replace(format, mean=_for(listed.mean, format.channels), std=_for(listed.std, format.channels))


def told(format: ImageFormat, found: ImageFormat) -> tuple[str, ...]:
    """A note if images are not normalized by their own values."""
    if found == format:
        return ()
    return (
        f"images are normalized as for these weights ({found.normalization}); `normalization` = data is the "
        "alternative",
    )


def _for(values: Sequence[float], channels: int) -> tuple[float, ...]:
    return tuple(values) if channels == len(values) else (sum(values) / len(values),) * channels

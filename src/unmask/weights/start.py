"""The weights that a training starts from: read once and fitted to the network, with notes for the user."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from unmask.config import EncoderConfig, to_json
from unmask.data.decoding.image_format import ImageFormat
from unmask.encoders.heads import head_names
from unmask.errors import UserError
from unmask.weights.adapt import Source, adapt
from unmask.weights.architecture import network_of, require_same_function
from unmask.weights.card import Card, card_in
from unmask.weights.files import WeightsFile, read_file, resolve_weights
from unmask.weights.keys import KeyMap, match_names, match_order
from unmask.weights.network import build_from_card
from unmask.weights.normalization import as_trained, told
from unmask.weights.numbers import SHOWN, refuse, require_numbers
from unmask.weights.public import fetch_public, is_public_id

Normalization = Literal["weights", "data"]


@dataclass(frozen=True)
class Start:
    """Where a network's initial weights come from."""

    format: ImageFormat
    """Format of images at the network: that of the data, possibly with another mean and deviation."""
    notes: tuple[str, ...] = ()
    """Notes for the user."""
    keeps_statistics: bool = False
    """Whether BatchNorm statistics of whole images belong to the weights, as for public ones: a frozen encoder keeps
    them. Random weights have none, and after masked pretraining they are measured on the given images."""


def initialize(
    model: nn.Module,
    init: str | None,
    config: EncoderConfig,
    format: ImageFormat,
    *,
    normalization: Normalization = "weights",
    field: str = "init",
) -> Start:
    """Load encoder weights into a model, in place; its head keeps its own weights.

    Args:
        init: a run folder, a weights file, timm:pretrained, timm:NAME or hf:USER/NAME; None leaves the random weights.
        config: the requested encoder; a file that names its encoder must match.
        format: of the images. Weights for RGB are adapted to other channels, positions to another size.
        normalization: whether images are normalized as the weights were trained, or by the data's own values.
        field: how errors begin.

    Raises:
        UserError: an encoder parameter is missing, unexpected, or has another shape that cannot be adapted: training
            would silently start from re-initialized weights. Or public weights are those of another network that has
            the same tensors, but computes something else.
    """
    if init is None:
        return Start(format)
    path = fetch_public(init, config.encoder, field=field) if is_public_id(init) else resolve_weights(init, field=field)
    file = read_file(path)
    card = card_in(file.header, path)
    if card is not None:
        _require_same_encoder(card, config, f"{field}: {init}")
    keys = _match(file, model)
    refuse(f"{field}: {init} lacks", keys.missing)
    refuse(f"{field}: {init} has the unexpected", keys.unexpected)
    source = Source() if card is None else Source(card.format.size, lambda: build_from_card(card))
    try:
        fitted = adapt(keys.matched, model, format.size, source)
    except UserError as error:
        raise UserError(f"{field}: {init}: {error}") from None
    if card is not None and card.format.channels != format.channels and not _same_shapes(fitted.tensors, model):
        own = card.format.channels
        raise UserError(f"{field}: {init} was trained on images of {own} channels, the data have {format.channels}")
    _require_shapes(fitted.tensors, model, f"{field}: {init}", card)
    model.load_state_dict(fitted.tensors, strict=False)
    doubt = "" if card is not None else _checked_network(model, init, path, config, format, f"{field}: {init}")
    wanted = as_trained(format, init, config.encoder, card) if normalization == "weights" else format
    adapted = [f"these weights were adapted: {'; '.join(fitted.done)}"] if fitted.done else []
    notes = (_told(init, file, keys, head_names(model), doubt), *adapted, *told(format, wanted))
    return Start(wanted, notes, card is None)


def _match(file: WeightsFile, model: nn.Module) -> KeyMap:
    """Match by name; else as timm converts other programs' names for this architecture; else by order."""
    wanted, head = model.state_dict(), head_names(model)
    by_name = match_names(file.tensors, wanted, head)
    if by_name.fits:
        return by_name
    converted = _converted(file.tensors, model)
    if converted is not None and (found := match_names(converted, wanted, head)).fits:
        return KeyMap(found.matched, (), (), found.unused, "names converted by timm")
    by_order = match_order(file.tensors, wanted, head) if file.ordered else None
    return by_order or by_name


def _converted(tensors: Mapping[str, Tensor], model: nn.Module) -> Mapping[str, Tensor] | None:
    """The original authors' names for this architecture as converted by timm; None if it has nothing to convert."""
    convert: Any = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    try:
        found = None if convert is None else convert(dict(tensors), model)
    except Exception:  # for tensors of another network it may raise anything
        return None
    return found if isinstance(found, Mapping) else None


def _require_same_encoder(card: Card, config: EncoderConfig, whose: str) -> None:
    """Raise UserError unless the weights are of the requested encoder; its patches may have another size."""
    held, asked = to_json(card.encoder), to_json(config)
    for one in (held, asked):
        one["encoder_options"] = {k: v for k, v in (one["encoder_options"] or {}).items() if k != "patch_size"}
    if other := [f"{name} {held[name]}, not {asked[name]}" for name in held if held[name] != asked[name]]:
        fix = "give the same encoder, or none: it comes from the run"
        raise UserError(f"{whose} holds another encoder than the requested one: {'; '.join(other)}; {fix}")


def _same_shapes(tensors: Mapping[str, Tensor], model: nn.Module) -> bool:
    wanted = model.state_dict()
    return all(tensor.shape == wanted[name].shape for name, tensor in tensors.items())


def _require_shapes(tensors: Mapping[str, Tensor], model: nn.Module, whose: str, card: Card | None) -> None:
    """Raise UserError unless the shapes match the network's and the numbers are possible (`require_numbers`)."""
    wanted = model.state_dict()
    size = "; it was trained at {} x {} pixels".format(*card.format.size) if card is not None else ""
    refuse(f"{whose} has another shape for", [k for k, v in tensors.items() if v.shape != wanted[k].shape], size)
    require_numbers(tensors, wanted, whose)


def _checked_network(
    model: nn.Module, init: str, file: Path, config: EncoderConfig, format: ImageFormat, whose: str
) -> str:
    """Why it is not known whether weights without a card belong to another network that takes the same tensors, in
    words; empty if they do not. Raises UserError if they do."""
    named = network_of(init, file, config)
    if named is None:
        return "the file does not name its network"
    try:
        known = require_same_function(model, config, named, format)
    except UserError as error:
        raise UserError(f"{whose}: {error}") from None
    return "" if known else f"whether {named.encoder} computes the same with them is not known"


def _told(init: str, file: WeightsFile, keys: KeyMap, head: set[str], doubt: str) -> str:
    """The key map in one line."""
    parts = [f"encoder weights from {init}: {len(keys.matched)} tensors"]
    parts += [f"of its {' / '.join(map(repr, file.levels))}"] if file.levels else []
    parts += [keys.renamed] if keys.renamed else []
    if keys.unused:
        more = f" and {len(keys.unused) - SHOWN} more" if len(keys.unused) > SHOWN else ""
        parts.append(f"unused: {', '.join(keys.unused[:SHOWN])}{more}")
    parts += [doubt] if doubt else []
    parts += [f"head new ({', '.join(sorted({name.rpartition('.')[0] for name in head}))})"] if head else []
    return "; ".join(parts)

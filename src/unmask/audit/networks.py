"""From run folders and weights files to networks for an audit, with a random network beside them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from unmask.audit.protocol import Audited
from unmask.batchnorm import reestimate_batchnorm
from unmask.data.decoding.image_format import ImageFormat, widest
from unmask.data.load import Dataset
from unmask.errors import UserError
from unmask.runs.layout import NETWORKS, distinct_names
from unmask.runs.read import read_environment
from unmask.weights.card import Card
from unmask.weights.files import resolve_weights
from unmask.weights.network import Model, build_from_card, load_model


@dataclass(frozen=True)
class Weights:
    """A trained network on disk."""

    name: str
    file: Path
    model: Model
    fingerprint: str | None
    """Fingerprint of the data it was trained on; None if the file does not record it."""

    @property
    def card(self) -> Card:
        """The file's description of the network."""
        return self.model.card


def read_weights(paths: Sequence[Path]) -> list[Weights]:
    """Read networks that have a head.

    Raises:
        UserError: none is given; a path has none, or it cannot be loaded; it has no classes; or they differ in classes,
            channels or image size, so they cannot be audited on the same images.
    """
    if not paths:
        raise UserError("audit: give at least one folder of a fine-tuning or a training from scratch, or its weights")
    found = [_read(path, name) for path, name in zip(paths, _names(paths), strict=True)]
    first = found[0]
    for other in found[1:]:
        for what in ("classes", "channels", "image_size"):
            ours, theirs = _facts(first.card)[what], _facts(other.card)[what]
            if ours != theirs:
                raise UserError(
                    f"{other.file}: {what} = {_short(theirs)}, but {first.file} has {_short(ours)}; "
                    "networks of one audit must fit the same images"
                )
    return found


def _facts(card: Card) -> dict[str, object]:
    """What networks must share to be audited on the same images."""
    return {"classes": card.classes, "channels": card.format.channels, "image_size": card.format.size}


def _read(path: Path, name: str) -> Weights:
    file = resolve_weights(path, field="audit")
    model = load_model(path, field="audit")
    if model.card.task is not None and not model.card.classes:
        raise UserError(f"{file}: an audit needs images of one class each, which {model.card.task.name} does not have")
    if len(model.card.classes) < 2:
        raise UserError(f'{file}: an encoder without a head; fine-tune it first, with `init="{path}"`')
    run = path if path.is_dir() else path.parent.parent if path.parent.name == NETWORKS.folder else None
    facts = read_environment(run) if run is not None else None
    return Weights(name, file, model, facts.data.fingerprint if facts is not None and facts.data else None)


def _names(paths: Sequence[Path]) -> list[str]:
    """The last part of each path, with as many preceding parts as make it unique."""
    places = [path.resolve() for path in paths]
    if len(set(places)) < len(places):
        raise UserError(f"audit: {next(path for path in paths if places.count(path.resolve()) > 1)} is given twice")
    bare = [path.with_suffix("") if path.suffix == ".safetensors" else path for path in places]
    return distinct_names(bare if len(set(bare)) == len(bare) else places)


def build_networks(weights: Sequence[Weights], data: Dataset, seed: int) -> list[Audited]:
    """The networks in evaluation mode, then one with random weights for each kind of encoder among them.

    The random network's BatchNorm statistics come from the data, so that it is random, not broken.

    Raises:
        UserError: the data have other classes than the networks.
    """
    networks = load_networks(weights, data)
    kinds = {repr(one.card.encoder): one for one in weights}
    for one in kinds.values():
        name = "random weights" if len(kinds) == 1 else f"random weights ({one.card.encoder.encoder})"
        model = build_from_card(one.card, seed=seed)
        reestimate_batchnorm(model, data.pretrain)
        networks.append(Audited(name, model.eval(), preparation(data.format, data.format), control=True))
    return networks


def load_networks(weights: Sequence[Weights], data: Dataset) -> list[Audited]:
    """The networks in evaluation mode, without a control; raises what `build_networks` raises."""
    for one in weights:
        if one.card.classes != data.classes:
            raise UserError(
                f"{one.file}: its classes are {_short(one.card.classes)}, those of the data {_short(data.classes)}; "
                "give the data it was trained on, or data with the same classes"
            )
        _require_same_white(one, data.format)
    return [
        Audited(one.name, one.model.module, preparation(one.card.format, data.format), path=str(one.file))
        for one in weights
    ]


def _require_same_white(one: Weights, data: ImageFormat) -> None:
    """Raise `UserError` for integers beside floats beyond 0..1: nothing says which float is white."""
    own = one.card.format
    floats = next((format for format in (own, data) if not format.counts_to_one), None)
    if floats is None or own.kind == data.kind or "float32" not in (own.kind, data.kind):
        return
    low, high = floats.value_range
    raise UserError(
        f"{one.file}: trained on {own.kind} images, the data are {data.kind}, and the floats count from "
        f"{low:g} to {high:g}: give data of the kind it was trained on, or floats from 0 to 1"
    )


def preparation(trained: ImageFormat, data: ImageFormat) -> Callable[[Tensor], Tensor]:
    """From pixels of the data, 0..1, to the values that a network was trained on.

    255 of 8 bits, 65535 of 16 and 1.0 of floats are the same. If a range was measured (floats, a window), values are
    first mapped to the range that the network was trained with.
    """
    kind = widest({trained.kind, data.kind})
    given, own = data.holding(kind), trained.holding(kind)
    (low, high), (own_low, own_high) = given.ends(), own.ends()
    alike = (given.value_range, given.channel_ranges) == (own.value_range, own.channel_ranges)

    def prepare(pixels: Tensor) -> Tensor:
        values = pixels if alike else (pixels * (high - low) + low - own_low) / (own_high - own_low)
        if trained.clipped and not alike:
            values = values.clamp(0, 1)
        return trained.normalize(values)

    return prepare


def _short(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."

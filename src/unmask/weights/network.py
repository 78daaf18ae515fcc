"""Build networks with the weights of a file, as its card says."""

import dataclasses
from os import PathLike

from torch import nn

from unmask.encoders.build import build_model
from unmask.errors import UserError
from unmask.weights.card import Card, load_weights
from unmask.weights.files import resolve_weights
from unmask.weights.numbers import require_numbers


@dataclasses.dataclass(frozen=True)
class Model:
    """A network with its trained weights, and the card that describes its inputs and outputs."""

    module: nn.Module
    """In evaluation mode; returns the outputs of `card.task`, or pooled features without one."""
    card: Card


def load_model(path: str | PathLike[str], *, field: str = "path") -> Model:
    """Load the network of a run folder or of a weights file written by unmask, built as its card says.

    The network takes images [B, C, H, W] as `card.format.prepare(x)` returns them for pixel values x stored in files.

    Args:
        path: a run folder of pretrain, finetune or scratch, or a .safetensors file.
        field: how errors about the path begin.

    Raises:
        UserError: no such folder or file, no card, or weights that do not fit their own card.
    """
    file = resolve_weights(path, field=field)
    tensors, card = load_weights(file)
    if card is None:
        raise UserError(f"{file}: has no card, so nothing says how to build and feed it; is it a run of unmask?")
    try:
        module = build_from_card(card)
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
    try:
        module.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        first = str(error).splitlines()[1:2] or [str(error)]
        name = card.encoder.encoder
        raise UserError(f"{file}: does not hold the weights of its encoder {name}: {first[0].strip()}") from None
    require_numbers(tensors, module.state_dict(), f"{file}:")
    return Model(module.eval(), card)


def build_from_card(card: Card, *, seed: int = 0) -> nn.Module:
    """The network that a card describes, with random weights."""
    channels, size = card.format.channels, card.format.size
    if card.task is None:
        return build_model(card.encoder, in_chans=channels, image_size=size, seed=seed)
    return card.task.network(card.encoder, channels=channels, size=size, seed=seed, plain=True)

"""Encoder weights in and out: a plain state_dict as safetensors, whose header says how to build and feed it."""

import dataclasses
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import timm
from torch import Tensor, nn

from unmask.config import EncoderConfig, from_json, to_json
from unmask.data.decoding.image_format import ImageFormat
from unmask.data.load import Dataset
from unmask.encoders.build import build_model
from unmask.errors import UserError
from unmask.runs.layout import ENCODER_FILE
from unmask.training.checkpoint import load_tensors, save_tensors


@dataclasses.dataclass(frozen=True)
class Card:
    """What travels with weights: the encoder, the format of the images it takes, and the classes of its head."""

    encoder: EncoderConfig
    format: ImageFormat
    classes: tuple[str, ...] = ()
    """Empty without a head."""


def card_of(encoder: EncoderConfig, data: Dataset, classes: tuple[str, ...] = ()) -> Card:
    """The card of an encoder trained on a data set."""
    return Card(encoder, data.format, classes)


def save_weights(path: Path, state: Mapping[str, Tensor], card: Card) -> None:
    """Write a model's plain state_dict with its card, atomically."""
    save_tensors(path, state, {"card": to_json(card)})


def load_weights(path: str | PathLike[str]) -> tuple[dict[str, Tensor], Card | None]:
    """State_dict and card of a file by `save_weights`; the card is None for a file by another program.

    Raises:
        UserError: the file cannot be read, or its card says what no card may; the message names file and field.
    """
    path = Path(path)
    tensors, header = load_tensors(path)
    if "card" not in header:
        return tensors, None
    if isinstance(header["card"], Mapping) and "image_size" in header["card"]:
        raise UserError(f"{path}: was written by an unmask from before this version, whose card says less: train again")
    try:
        return tensors, from_json(Card, header["card"])
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


@dataclasses.dataclass(frozen=True)
class Model:
    """A network with its trained weights, and the card that says what it takes and gives."""

    module: nn.Module
    """In evaluation mode; gives the logits of `card.classes`, or pooled features if there are none."""
    card: Card


def load_model(path: str | PathLike[str], *, field: str = "path") -> Model:
    """The network of a run folder or of a file of weights that unmask has written, built as its card says.

    The network takes images [B, C, H, W] as `card.format.prepare(x)` gives them for pixel values x as stored in files.

    Args:
        path: a run folder of pretrain, finetune or scratch, or a .safetensors file.
        field: what errors about the path begin with.

    Raises:
        UserError: no such folder or file, no card, or weights that do not fit their own card.
    """
    file = resolve_weights(path, field=field)
    tensors, card = load_weights(file)
    if card is None:
        raise UserError(f"{file}: has no card, so that nothing says how to build and feed it; is it a run of unmask?")
    module = build_from_card(card)
    try:
        module.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        first = str(error).splitlines()[1:2] or [str(error)]
        name = card.encoder.encoder
        raise UserError(f"{file}: does not hold the weights of its encoder {name}: {first[0].strip()}") from None
    return Model(module.eval(), card)


def build_from_card(card: Card, *, seed: int = 0) -> nn.Module:
    """The network that a card describes, with random weights."""
    wanted = card.format
    return build_model(
        card.encoder, in_chans=wanted.channels, image_size=wanted.size, num_classes=len(card.classes), seed=seed
    )


def resolve_weights(init: str | PathLike[str], *, field: str = "init") -> Path:
    """The safetensors file meant by a run folder or a path. Raises UserError where there is none."""
    path = Path(init)
    if path.is_dir():
        file = path / ENCODER_FILE
        if file.exists():
            return file
        inner = sorted((path / "pretrain").glob("seed_*"))
        fix = (
            f"of a comparison give one of its pretrainings, {inner[0]}" if inner else "is it a finished run of unmask?"
        )
        raise UserError(f"{path}: holds no {ENCODER_FILE}; {fix}")
    if not path.exists():
        other = " (nor timm:pretrained)" if field == "init" else ""
        raise UserError(f"{field}: {init} is neither a run folder nor a weights file{other}")
    return path


def is_foreign(init: str | None) -> bool:
    """Whether starting weights come from another program: their BatchNorm statistics then belong to them, and stay."""
    if init is None:
        return False
    return init == "timm:pretrained" or load_weights(resolve_weights(init))[1] is None


def initialize(model: nn.Module, init: str, config: EncoderConfig, *, channels: int, field: str = "init") -> list[str]:
    """Load encoder weights into a model; its head keeps its own. Returns notes to show.

    Args:
        model: the model, of the encoder `config`.
        init: a run folder, a weights file, or timm:pretrained.
        config: the encoder asked for; a file that says of which it is must be of the same.
        channels: of the images.
        field: what errors begin with.

    Raises:
        UserError: any encoder parameter is missing, unexpected or of another shape: training would silently start
            from re-initialized weights.
    """
    if init == "timm:pretrained":
        tensors = _timm_pretrained(config, channels)
        card = None
    else:
        tensors, card = load_weights(resolve_weights(init, field=field))
    if card is not None and card.format.channels != channels:
        own = card.format.channels
        raise UserError(f"{field}: {init} was trained on images of {own} channels, the data have {channels}")
    if card is not None and card.encoder != config:
        held, asked = to_json(card.encoder), to_json(config)
        other = [f"{name} {held[name]}, not {asked[name]}" for name in held if held[name] != asked[name]]
        fix = "give the same encoder, or none: it comes from the run"
        raise UserError(f"{field}: {init} holds another encoder than the one asked for: {'; '.join(other)}; {fix}")
    head = head_names(model)
    wanted = model.state_dict()
    offered = {k: v for k, v in tensors.items() if k not in head}
    missing = sorted(set(wanted) - set(offered) - head)
    unexpected = sorted(set(offered) - set(wanted))
    # A head that this model lacks may come with the file: fc., head., classifier. of a timm classifier.
    unexpected = [k for k in unexpected if k.split(".")[0] not in ("fc", "head", "classifier", "head_dist")]
    shapes = [k for k in offered if k in wanted and offered[k].shape != wanted[k].shape]
    size = "; it was trained at {} x {} pixels".format(*card.format.size) if card is not None else ""
    for what, names in (("lacks", missing), ("has the unexpected", unexpected), ("has another shape for", shapes)):
        if names:
            raise UserError(f"{field}: {init} {what} {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}{size}")
    model.load_state_dict({k: v for k, v in offered.items() if k in wanted}, strict=False)
    return [f"encoder weights from {init}: {len(wanted) - len(head & set(wanted))} tensors, head new"]


def head_names(model: nn.Module) -> set[str]:
    """Names of the classification head's own parameters in a timm-like model; some have several heads."""
    classifier: Any = getattr(model, "get_classifier", None)
    found = classifier() if classifier is not None else None
    heads = found if isinstance(found, tuple | list) else [found]
    members = {id(p) for head in heads if isinstance(head, nn.Module) for p in head.parameters()}
    return {name for name, p in model.named_parameters() if id(p) in members}


def _timm_pretrained(config: EncoderConfig, channels: int) -> dict[str, Tensor]:
    try:
        model = timm.create_model(config.encoder, pretrained=True, in_chans=channels, num_classes=0)
    except Exception as error:  # the hub raises many kinds: no such weights, no network, no cache
        raise UserError(
            f"init: the pretrained weights of {config.encoder} could not be had ({type(error).__name__}); "
            "download them once where there is a network, or give a .safetensors file"
        ) from error
    return dict(model.state_dict())

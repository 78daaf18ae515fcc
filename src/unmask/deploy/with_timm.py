"""Weights and settings that timm loads by itself."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch

from unmask.config import to_json
from unmask.deploy.export_check import Reference, require_agreement
from unmask.deploy.trained import Trained
from unmask.errors import UserError
from unmask.runs.files import write_json
from unmask.weights.card import Card, save_weights
from unmask.weights.network import load_model

WEIGHTS = "model.safetensors"
SETTINGS = "config.json"


def require_timm_alone(card: Card) -> None:
    """Raise `UserError` for a network that timm cannot build without this package."""
    encoder = card.encoder
    others = 'use `to="torch-export"`, onnx or safetensors'
    if encoder.encoder == "patchnet":
        raise UserError(f"to: patchnet is not a model of timm; {others}")
    if encoder.unstrided:
        raise UserError(
            f"to: this {encoder.encoder} runs without its first {encoder.unstrided} strides (unstrided), which timm "
            f"cannot build by itself; {others}"
        )


def write_timm(trained: Trained, folder: Path, expected: Reference) -> float:
    """Write model.safetensors and config.json, load them in both of timm's ways, and compare.

    Returns:
        The largest difference from the run.

    Raises:
        UserError: timm cannot build this network, or what it loads differs.
    """
    save_weights(folder / WEIGHTS, trained.model.state_dict(), trained.card)
    write_json(folder / SETTINGS, settings(trained))
    name, arguments = trained.card.encoder.encoder, timm_arguments(trained.card)
    loaded = {
        "timm.create_model(checkpoint_path=...)": timm.create_model(
            name, checkpoint_path=str(folder / WEIGHTS), **arguments
        ),
        "timm.create_model('local-dir:...')": timm.create_model(f"local-dir:{folder}", pretrained=True),
    }
    worst = 0.0
    for what, model in loaded.items():
        network = model.eval()
        with torch.no_grad():
            worst = max(worst, require_agreement(network, expected.normalized, expected.outputs, what=what))
    return worst


def timm_arguments(card: Card) -> dict[str, Any]:
    """Keyword arguments of `timm.create_model` for this network, in plain JSON values."""
    arguments: dict[str, Any] = {"num_classes": outputs_of(card), "in_chans": card.format.channels}
    arguments |= to_json(dict(card.encoder.encoder_options or {}))
    try:
        timm.create_model(card.encoder.encoder, img_size=card.format.size, **arguments)
    except TypeError:
        return arguments  # a network without a fixed grid
    return {**arguments, "img_size": list(card.format.size)}


def outputs_of(card: Card) -> int:
    """Outputs of the head; 0 without one."""
    return 0 if card.task is None else len(card.task.names)


def settings(trained: Trained) -> dict[str, Any]:
    """config.json as timm's `load_model_config_from_hf` and local-dir read it; ours is under "unmask"."""
    card = trained.card
    own: Mapping[str, Any] = getattr(trained.model, "pretrained_cfg", {})
    return {
        "architecture": card.encoder.encoder,
        "num_classes": outputs_of(card),
        "num_features": int(trained.model.num_features),  # type: ignore[arg-type]
        **({"label_names": list(card.task.names)} if card.task is not None else {}),
        "model_args": timm_arguments(card),
        "pretrained_cfg": {
            "tag": "unmask",
            "custom_load": False,
            "input_size": list(card.format.shape),
            "fixed_input_size": bool(own.get("fixed_input_size", False)),
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "crop_mode": "squash",
            "mean": list(card.format.mean),
            "std": list(card.format.std),
            "num_classes": outputs_of(card),
            "pool_size": None,
            "first_conv": own.get("first_conv"),
            "classifier": own.get("classifier"),
        },
        "unmask": input_facts(card),
    }


def input_facts(card: Card) -> dict[str, Any]:
    """What must be known about the input beyond timm's settings."""
    wanted = card.format
    ranges: list[Any] = [list(one) for one in wanted.channel_ranges] or [*wanted.value_range]
    facts = {"value_range": ranges, "clipped": wanted.clipped, "kind": wanted.kind}
    return {**facts, "task": to_json(card.task)}


def write_safetensors(trained: Trained, folder: Path, expected: Reference) -> float:
    """Write model.safetensors, whose header holds the card, and the card as card.json; read them back and compare."""
    save_weights(folder / WEIGHTS, trained.model.state_dict(), trained.card)
    write_json(folder / "card.json", trained.card)
    module = load_model(folder / WEIGHTS).module
    with torch.no_grad():
        return require_agreement(module, expected.normalized, expected.outputs, what=WEIGHTS)


def call_of_timm(card: Card, weights: str) -> str:
    """The line of Python that loads the weights."""
    arguments = ", ".join(f"{name}={value!r}" for name, value in timm_arguments(card).items())
    return f"timm.create_model({json.dumps(card.encoder.encoder)}, checkpoint_path={weights!r}, {arguments})"

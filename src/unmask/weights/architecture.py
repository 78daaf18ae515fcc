"""Whether public weights are those of the encoder that takes them: equal tensors may belong to another function.

All tensors of `tf_efficientnet_b0` fit `efficientnet_b0`, for example, which pads its images differently.
"""

from dataclasses import replace
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from unmask.config import EncoderConfig
from unmask.data.decoding.image_format import ImageFormat
from unmask.encoders.build import build_model
from unmask.encoders.heads import head_names
from unmask.encoders.stages import evaluating
from unmask.errors import UserError
from unmask.runs.files import read_json
from unmask.weights.public import HUB_CONFIG, HUB_NAMES, OF_THE_ENCODER, TIMM

TOLERANCE = 1e-4
"""Largest difference between outputs of one function, relative to the largest output: rounding."""


def network_of(init: str, file: Path, encoder: EncoderConfig) -> EncoderConfig | None:
    """The network that weights were published for, with the options of the requested encoder; None if unknown.

    It is known by a name in timm, or by the config.json that the hub keeps beside a timm model's weights.
    """
    if init == OF_THE_ENCODER:
        return encoder
    if init.startswith(TIMM):
        return replace(encoder, encoder=init.removeprefix(TIMM))
    beside = file.with_name(HUB_CONFIG)
    if file.name not in HUB_NAMES or not beside.is_file():
        return None
    try:
        facts = read_json(beside)
        name, options = facts["architecture"], {**(facts.get("model_args") or {}), **(encoder.encoder_options or {})}
        found = replace(encoder, encoder=name, encoder_options=options or None)
    except (UserError, OSError, LookupError, TypeError, AttributeError):  # another program's file
        return None
    return found if timm.is_model(found.encoder) else None


def require_same_function(model: nn.Module, asked: EncoderConfig, named: EncoderConfig, format: ImageFormat) -> bool:
    """Compare a model that holds weights with the network they were published for, on one random image.

    Returns:
        Whether they could be compared; networks of the same name and options need not be.

    Raises:
        UserError: with the same weights they give different outputs.
    """
    asked, named = _without_tag(asked), _without_tag(named)
    if asked == named:
        return True
    try:
        classes = int(getattr(model, "num_classes", 0))
        other = build_model(named, in_chans=format.channels, image_size=format.size, num_classes=classes)
    except UserError:  # it does not take the options or the image size
        return False
    whole = _copy_weights(model, other)
    if whole is None:
        return False
    image = torch.randn(1, *format.shape, generator=torch.Generator().manual_seed(0))
    ours, theirs = (_outputs(one, image, whole=whole) for one in (model, other))
    if ours.shape == theirs.shape and float((ours - theirs).abs().max()) <= TOLERANCE * float(theirs.abs().max()):
        return True
    raise UserError(
        f"are those of {named.encoder}: {asked.encoder} takes them, but computes something else with them; give "
        f"`encoder={named.encoder}`, or weights of {asked.encoder}"
    )


def _without_tag(config: EncoderConfig) -> EncoderConfig:
    """The architecture without the name of its weights: "resnet50" for "resnet50.a1_in1k"."""
    return replace(config, encoder=config.encoder.partition(".")[0])


def _copy_weights(model: nn.Module, other: nn.Module) -> bool | None:
    """Copy the weights of `model`; whether `other` then has all of its own, else all but its head's, else None."""
    own, wanted = model.state_dict(), other.state_dict()
    shared = {name: own[name] for name, value in wanted.items() if name in own and own[name].shape == value.shape}
    lacking = wanted.keys() - shared.keys()
    if lacking - head_names(other):
        return None
    other.load_state_dict(shared, strict=False)
    return not lacking


@torch.no_grad()
def _outputs(model: nn.Module, image: Tensor, *, whole: bool) -> Tensor:
    """The last features and, if the head is the same too, what it makes of them, in one row."""
    device = next(model.parameters()).device
    with evaluating(model):
        found = [model.forward_features(image.to(device))]  # type: ignore[operator]
        if whole:
            found.append(model(image.to(device)))
    return torch.cat([one.flatten().float().cpu() for one in found if isinstance(one, Tensor)]).nan_to_num()

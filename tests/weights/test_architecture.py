"""Public weights whose tensors all fit the encoder, but whose network computes something else."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from unmask.config import EncoderConfig
from unmask.data.decoding.image_format import ImageFormat
from unmask.encoders.build import build_model
from unmask.errors import UserError
from unmask.weights.start import Start, initialize

LITE, TF_LITE = EncoderConfig(encoder="efficientnet_lite0"), EncoderConfig(encoder="tf_efficientnet_lite0")
SMALL = {"patch_size": 8, "embed_dim": 24, "depth": 1, "num_heads": 2}
VIT = EncoderConfig(encoder="vit_tiny_patch16_224", encoder_options=SMALL)
UNNAMED = "the file does not name its network"


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def keep(hub: Path, repository: str, encoder: EncoderConfig, config: str | None = None) -> Path:
    """Weights of an encoder, and a config.json, as the hub's cache holds them."""
    folder = hub / f"models--{repository.replace('/', '--')}"
    place = folder / "snapshots" / ("0" * 40)
    place.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0" * 40)
    model = build_model(encoder, in_chans=3, image_size=(32, 32), num_classes=7, seed=1)
    save_file(model.state_dict(), place / "model.safetensors")
    if config is not None:
        (place / "config.json").write_text(config)
    return place / "model.safetensors"


def begin(encoder: EncoderConfig, init: str, *, channels: int = 3) -> Start:
    model = build_model(encoder, in_chans=channels, image_size=(32, 32), num_classes=3)
    return initialize(model, init, encoder, ImageFormat.plain((32, 32), channels, "uint8"))


@pytest.mark.parametrize("init", ["timm:tf_efficientnet_lite0", "timm:tf_efficientnet_lite0.in1k", "hf:someone/lite"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_network_that_pads_differently_is_refused(init: str, channels: int, hub: Path) -> None:
    """Whoever names it; the weights of the right network start without a doubt."""
    named = json.dumps({"architecture": "tf_efficientnet_lite0", "num_classes": 7})
    repository = "timm/tf_efficientnet_lite0.in1k" if init.startswith("timm:") else "someone/lite"
    keep(hub, repository, TF_LITE, named)
    wrong = f"^init: {init}: are those of tf_efficientnet_lite0: efficientnet_lite0 takes them, but computes something"
    with pytest.raises(UserError, match=wrong):
        begin(LITE, init, channels=channels)
    right = begin(TF_LITE, init, channels=channels)
    assert "not" not in right.notes[0]
    same = {"pad_type": "same", "bn_eps": 1e-3}
    assert begin(replace(LITE, encoder_options=same), init, channels=channels).keeps_statistics


def test_names_of_one_function_are_accepted(hub: Path) -> None:
    """Another tag, another name: DeiT's small networks are ViTs. Neither weights, mode nor random state change."""
    keep(hub, "timm/deit_tiny_patch16_224.fb_in1k", VIT)
    for encoder in (VIT, replace(VIT, encoder="deit_tiny_patch16_224")):
        for init in ("timm:deit_tiny_patch16_224", "timm:deit_tiny_patch16_224.fb_in1k"):
            assert "not" not in begin(encoder, init).notes[0]
    model = build_model(VIT, in_chans=3, image_size=(32, 32), num_classes=3)
    state = torch.get_rng_state()
    initialize(model, "timm:deit_tiny_patch16_224", VIT, ImageFormat.plain((32, 32), 3, "uint8"))
    assert torch.equal(state, torch.get_rng_state())
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize(
    "config",
    [
        None,
        "not JSON",
        "[]",
        "{}",
        '{"architecture": 5}',
        '{"architecture": "nothing"}',
        '{"architecture": "hf_hub:someone/else"}',
        '{"architecture": "test_resnet", "model_args": 5}',
        '{"architecture": "test_resnet", "model_args": {"checkpoint_path": "x"}}',
        '{"architectures": ["ResNetForImageClassification"]}',
    ],
)
def test_a_network_without_a_name_is_said(config: str | None, hub: Path) -> None:
    """Of other programs, or damaged: a name may not lead to a file."""
    encoder = EncoderConfig(encoder="test_resnet")
    file = keep(hub, "someone/else", encoder, config)
    assert begin(encoder, "hf:someone/else").notes[0].count(UNNAMED) == 1
    assert UNNAMED in begin(encoder, str(file)).notes[0]


def test_arguments_of_the_named_network_count(hub: Path) -> None:
    """As timm records them with a model that was built with them; what the user asks for comes first."""
    known: dict[str, Any] = {"architecture": "vit_tiny_patch16_224", "model_args": {**SMALL, "act_layer": "relu"}}
    keep(hub, "someone/relu", VIT, json.dumps(known))
    with pytest.raises(UserError, match="computes something else"):
        begin(VIT, "hf:someone/relu")
    asked = replace(VIT, encoder_options={**SMALL, "act_layer": "relu"})
    assert "not" not in begin(asked, "hf:someone/relu").notes[0]


def test_networks_of_other_tensors_cannot_be_compared(hub: Path) -> None:
    """Patches of another size are resampled; that the rest is the same is not claimed."""
    file = keep(hub, "someone/eight", VIT, json.dumps({"architecture": "vit_tiny_patch16_224", "model_args": SMALL}))
    sixteen = replace(VIT, encoder_options={**SMALL, "patch_size": 16})
    assert "not" not in begin(sixteen, str(file)).notes[0]
    known = {"architecture": "vit_tiny_patch16_224", "model_args": {**SMALL, "reg_tokens": 4}}
    file.with_name("config.json").write_text(json.dumps(known))
    assert "whether vit_tiny_patch16_224 computes the same with them is not known" in begin(VIT, str(file)).notes[0]

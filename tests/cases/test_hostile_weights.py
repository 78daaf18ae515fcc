"""A weights file, a run folder or a flag cannot make timm load a file or fetch an address."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from unmask.cli.main import main
from unmask.config import EncoderConfig, PretrainConfig, to_json
from unmask.data.decoding.image_format import ImageFormat
from unmask.encoders.build import build_model
from unmask.errors import UserError
from unmask.runs.read import write_config
from unmask.training.checkpoint import save_tensors
from unmask.weights.card import Card, load_weights

HOSTILE: list[tuple[str, dict[str, Any] | None]] = [
    ("resnet10t", {"checkpoint_path": "evil.pth"}),
    ("resnet10t", {"pretrained": True, "pretrained_cfg": {"url": "http://127.0.0.1:9/evil.pth"}}),
    ("resnet10t", {"pretrained": True, "pretrained_cfg_overlay": {"file": "evil.pth"}}),
    ("resnet10t", {"pretrained": True}),
    ("local-dir:evil", None),
    ("hf-hub:someone/evil", None),
    ("hf_hub:someone/evil", None),
]
"""Each makes `timm.create_model` load something."""
DATA = '{"images": 12, "val_images": 6, "test_images": 6, "classes": 2, "size": 16, "part_size": 4}'


class Payload:
    """Its unpickling writes a file."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("ran",)


@pytest.fixture(params=HOSTILE, ids=lambda one: f"{one[0]} {sorted(one[1] or {})}")
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder whose weights and configuration are hostile; a file `ran` says that something was loaded."""
    encoder, options = request.param
    monkeypatch.chdir(tmp_path)

    def load(*_: Any, **__: Any) -> Any:
        Path("ran").touch()
        raise OSError("no network in tests")

    for name in ("load_checkpoint", "load_model_config_from_hf", "load_model_config_from_path"):
        monkeypatch.setattr(f"timm.models._factory.{name}", load)
    for name in ("load_state_dict_from_url", "load_state_dict_from_hf", "load_state_dict", "load_custom_from_hf"):
        monkeypatch.setattr(f"timm.models._builder.{name}", load)
    torch.save(Payload(), "evil.pth")
    folder = tmp_path / "run"
    folder.mkdir()
    described = {"encoder": encoder, "encoder_options": options, "unstrided": 0}
    card = {
        **to_json(Card(EncoderConfig(encoder="resnet10t"), ImageFormat.plain((16, 16), 1, "uint8"))),
        "encoder": described,
        "task": {"name": "classification", "classes": ["a", "b"]},
    }
    save_tensors(folder / "encoder.safetensors", {"x": torch.zeros(1)}, {"card": card})
    write_config(folder, PretrainConfig())
    shutil.copytree(folder, tmp_path / "described")
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "described" / "config.json").write_text(json.dumps({**config, "encoder": described}))
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "run", "--out", "x.csv"),
        ("embed", "run", "--out", "x.csv"),
        *(("export", "run", "--to", form) for form in ("timm", "safetensors")),
        ("audit", "run", "--out", "x", "--data", "multiview", "--options", DATA),
        ("audit", "run/encoder.safetensors", "--out", "x", "--data", "multiview", "--options", DATA),
        ("finetune", "--init", "described", "--out", "x", "--data", "multiview", "--options", DATA),
        ("finetune", "--init", "run", "--out", "x", "--data", "multiview", "--options", DATA),
        ("finetune", "--init", "run/encoder.safetensors", "--out", "x", "--data", "multiview", "--options", DATA),
        ("compare", "--pretrained", "run", "--out", "x", "--data", "multiview", "--options", DATA, "--budgets", "2"),
        ("pretrain", "--target", "frozen_teacher", "--teacher", "run", "--out", "x", "--data", "multiview")
        + ("--options", DATA, "--encoder", "patchnet"),
    ],
    ids=lambda words: " ".join(words[:4]),
)
def test_a_hostile_file_is_refused_by_every_command(
    run: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """One line that names the file and what it asked for, and nothing was loaded."""
    with pytest.raises(SystemExit) as left:
        main(list(words))
    assert left.value.code == 2
    line = capsys.readouterr().err.strip()
    assert len(line.splitlines()) == 1
    assert re.search("(run|described)/(encoder.safetensors|config.json): ", line)
    assert "is not an argument of an architecture" in line or "is not known" in line
    assert not Path("ran").exists()


@pytest.mark.parametrize(("encoder", "options"), HOSTILE)
def test_a_flag_cannot_load_weights_either(encoder: str, options: dict[str, Any] | None) -> None:
    """A run that says "random weights" has them."""
    with pytest.raises(UserError, match=r"is not an argument of an architecture|is not known"):
        EncoderConfig(encoder=encoder, encoder_options=options)


@pytest.mark.parametrize(
    "options",
    [
        {"act_layer": "/tmp/evil.pth"},
        {"act_layer": "http://127.0.0.1"},
        {"drop_path_rate": float("nan")},
        {"block_args": {"checkpoint_path": "evil"}},
        {"block_args": [{"url": "evil"}]},
        {"in_chans": 1},
        {"num_classes": 5},
        {"img_size": 32},
        {"features_only": True},
        {"out_indices": [0]},
        {"device": "cuda"},
    ],
)
def test_values_are_plain(options: dict[str, object]) -> None:
    """No path, no address, no object that is not of a block, nothing that the data decide."""
    with pytest.raises(UserError, match="encoder_options"):
        EncoderConfig(encoder="resnet10t", encoder_options=options)


@given(st.text() | st.sampled_from(["checkpoint_path", "pretrained", "weights", "cache_dir", "file"]), st.text())
def test_random_options_are_refused_or_words(name: str, value: str) -> None:
    """Whatever passes is an argument of an architecture with a word."""
    try:
        options = EncoderConfig(encoder_options={name: value}).encoder_options
    except UserError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017
        return
    assert options == {name: value}
    assert not set(value) & set("/\\:")


@pytest.mark.parametrize(
    ("encoder", "options"),
    [
        ("resnet10t", {"channels": (8, 8, 8, 8), "stem_width": 4, "stem_type": "deep", "drop_path_rate": 0.1}),
        ("resnet10t", {"layers": [1, 1, 1, 1], "act_layer": "silu", "block_args": {"attn_layer": "se"}}),
        ("vit_tiny_patch16_224", {"patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 2, "global_pool": "avg"}),
        ("efficientnet_b0", {"drop_path_rate": 0.1, "act_layer": "relu"}),
        ("convnext_atto", {"depths": (1, 1, 1, 1), "dims": (8, 8, 8, 8), "ls_init_value": None}),
        ("regnety_002", {"drop_path_rate": 0.1, "output_stride": 32}),
    ],
)
def test_options_of_architectures_reach_timm(encoder: str, options: dict[str, object]) -> None:
    """The network is the one that timm builds from them."""
    model = build_model(EncoderConfig(encoder=encoder, encoder_options=options), in_chans=1, image_size=(32, 32))
    sizes = {} if "vit" not in encoder else {"img_size": 32}
    plain = timm.create_model(encoder, in_chans=1, num_classes=0, **sizes, **options)
    assert {k: v.shape for k, v in model.state_dict().items()} == {k: v.shape for k, v in plain.state_dict().items()}


def test_a_tag_of_weights_names_the_architecture_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """resnet10t.c3_in1k is a resnet10t with random weights; a tag that timm does not have is one line."""
    monkeypatch.setattr("timm.models._builder.load_pretrained", lambda *_, **__: pytest.fail("weights were loaded"))
    tagged = build_model(EncoderConfig(encoder="resnet10t.c3_in1k"), in_chans=1, image_size=(32, 32)).state_dict()
    plain = build_model(EncoderConfig(encoder="resnet10t"), in_chans=1, image_size=(32, 32)).state_dict()
    assert all(torch.equal(tagged[name], plain[name]) for name in plain)
    with pytest.raises(UserError, match=r"refused by resnet10t\.nothing"):
        build_model(EncoderConfig(encoder="resnet10t.nothing"), in_chans=1, image_size=(32, 32))


@pytest.mark.parametrize("header", [[], {"card": []}, {"card": {"encoder": {"encoder": 3}}}])
def test_a_damaged_card_names_the_file(header: Any, tmp_path: Path) -> None:
    """One line that begins with the path."""
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors", metadata={"unmask": json.dumps(header)})
    with pytest.raises(UserError, match=r"x\.safetensors: "):
        load_weights(tmp_path / "x.safetensors")

"""Published weights: found where the hub and torch keep them, fetched only when they were named."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from unmask.comparison.candidates import arms_of
from unmask.comparison.given_weights import with_given_weights
from unmask.config import ARMS, CompareConfig, DataConfig, EncoderConfig
from unmask.data.decoding.image_format import ImageFormat
from unmask.encoders.build import build_model
from unmask.errors import UserError
from unmask.runs.read import write_config
from unmask.weights.public import OF_THE_ENCODER, fetch_public, find_public
from unmask.weights.start import initialize

ENCODER = EncoderConfig(encoder="test_resnet")
CONFIG = CompareConfig(encoder=ENCODER, data=DataConfig(data="x", image_size=(32, 32)))
GIVEN = [name for name, arm in ARMS.items() if arm.needs_given]


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches of the hub and of torch, and no network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))

    def offline(*_: Any, **__: Any) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    return tmp_path


def in_the_hubs_cache(folder: Path, repository: str, encoder: EncoderConfig = ENCODER) -> Path:
    """Weights of the encoder as the hub keeps them."""
    place = folder / "hub" / f"models--{repository.replace('/', '--')}"
    file = place / "snapshots" / ("0" * 40) / "model.safetensors"
    file.parent.mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("0" * 40)
    save_file(build_model(encoder, in_chans=3, image_size=(32, 32), num_classes=7, seed=1).state_dict(), file)
    return file


def test_the_hubs_cache_is_looked_into(caches: Path) -> None:
    """By timm's repository of the encoder, by a timm name with its tag, and by a repository's name."""
    file = in_the_hubs_cache(caches, "timm/test_resnet.r160_in1k")
    for name in (OF_THE_ENCODER, "timm:test_resnet", "timm:test_resnet.r160_in1k", "hf:timm/test_resnet.r160_in1k"):
        assert find_public(name, "test_resnet") == fetch_public(name, "test_resnet") == file
    model = build_model(ENCODER, in_chans=5, image_size=(32, 32), num_classes=3)
    start = initialize(model, OF_THE_ENCODER, ENCODER, ImageFormat.plain((32, 32), 5, "uint8"))
    assert start.keeps_statistics
    assert f"encoder weights from {OF_THE_ENCODER}" in start.notes[0]


def test_torchs_cache_is_looked_into(caches: Path) -> None:
    """By the last part of the address that timm has."""
    known = timm.get_pretrained_cfg("tf_efficientnet_lite0")
    assert known is not None
    file = caches / "torch" / "hub" / "checkpoints" / str(known.url).rpartition("/")[2]
    file.parent.mkdir(parents=True)
    torch.save({"x": torch.zeros(1)}, file)
    assert find_public(OF_THE_ENCODER, "tf_efficientnet_lite0") == file


@pytest.mark.parametrize(
    ("init", "line"),
    [
        (OF_THE_ENCODER, r"the weights timm:pretrained of test_resnet could not be obtained \(ConnectionError\)"),
        ("hf:someone/else", r"^init: the weights hf:someone/else of test_resnet could not be obtained"),
        ("hf:../../etc/passwd", r"hf:\.\./\.\./etc/passwd: is not the name of a repository"),
        ("timm:test_resnet.none", r"timm:test_resnet\.none: Invalid pretrained tag"),
        ("timm:nothing", "timm has no pretrained weights of nothing"),
    ],
)
def test_what_cannot_be_had_is_one_line(init: str, line: str) -> None:
    """And a look into the caches fetches nothing."""
    with pytest.raises(UserError, match=line) as error:
        fetch_public(init, "test_resnet")
    assert len(str(error.value).splitlines()) == 1


def test_weights_on_disk_join_the_default_arms(caches: Path) -> None:
    """All four of their arms; `none` leaves them out; arms that were asked for stay as they are."""
    out = caches / "out"
    before, (note,) = with_given_weights(CONFIG, out, resume=False)
    assert (before.given, before.arms) == (None, ())
    assert not {arm.name for arm in arms_of(before)} & set(GIVEN)
    assert "no weights of test_resnet are on this disk" in note
    file = in_the_hubs_cache(caches, "timm/test_resnet.r160_in1k")
    config, (note,) = with_given_weights(CONFIG, out, resume=False)
    assert config.given == str(file)
    assert [arm.name for arm in arms_of(config)] == list(ARMS)
    assert str(file) in note
    off = CompareConfig(encoder=ENCODER, given="none")
    assert with_given_weights(off, out, resume=False) == (off, [])
    asked = CompareConfig(encoder=ENCODER, arms=("probe_given",), data=CONFIG.data)
    assert with_given_weights(asked, out, resume=False)[0].arms == ("probe_given",)
    assert with_given_weights(CompareConfig(arms=("mrp",)), out, resume=False)[0].given is None


def test_a_resumed_comparison_keeps_what_it_found(caches: Path) -> None:
    """Weights that came to the disk in between do not change it."""
    out = caches / "out"
    out.mkdir()
    write_config(out, with_given_weights(CONFIG, out, resume=False)[0])
    in_the_hubs_cache(caches, "timm/test_resnet.r160_in1k")
    config, notes = with_given_weights(CONFIG, out, resume=True)
    assert (config.given, config.arms, notes) == (None, (), [])


def test_weights_that_do_not_fit_are_left_and_said(caches: Path) -> None:
    """Of another form of the encoder; an arm that was asked for and has no weights is an error."""
    in_the_hubs_cache(caches, "timm/test_resnet.r160_in1k", EncoderConfig(encoder="test_vit"))
    config, (note,) = with_given_weights(CONFIG, caches, resume=False)
    assert (config.given, config.arms) == (None, ())
    assert "do not fit" in note
    with pytest.raises(UserError, match="give weights with `given`: probe_given starts from them"):
        with_given_weights(CompareConfig(encoder=ENCODER, arms=("probe_given",)), caches, resume=False)

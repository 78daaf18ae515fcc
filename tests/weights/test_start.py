"""Starting weights: whatever program wrote them and for whatever input, they arrive whole or in one line."""

import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import tiny
from unmask.config import EncoderConfig
from unmask.data.decoding.image_format import ImageFormat, Kind
from unmask.encoders.build import build_model
from unmask.errors import UserError
from unmask.weights.card import Card, save_weights
from unmask.weights.normalization import as_trained
from unmask.weights.start import Start, initialize

RESNET = tiny.resnet()
State = dict[str, Tensor]


def network(config: EncoderConfig = RESNET, *, channels: int = 3, side: int = 16, classes: int = 3) -> nn.Module:
    """Of a seed of its own, so that nothing fits by chance."""
    return build_model(config, in_chans=channels, image_size=(side, side), num_classes=classes, seed=channels + side)


def begin(init: Path, config: EncoderConfig = RESNET, *, channels: int = 3, side: int = 16) -> tuple[State, Start]:
    """The state of a network that starts from a file."""
    model = build_model(config, in_chans=channels, image_size=(side, side), num_classes=5, seed=9)
    start = initialize(model, str(init), config, ImageFormat.plain((side, side), channels, "uint8"))
    return model.state_dict(), start


def wrapped(prefix: str) -> Callable[[State], Any]:
    """A state_dict whose names begin with a prefix, beside a tensor that is not of the encoder."""
    return lambda state: {prefix + name: value for name, value in state.items()} | {"decoder.weight": torch.ones(2)}


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (lambda state: state, "unused: fc.weight, fc.bias"),
        (lambda state: {"state_dict": state, "epoch": 3, "name": "x"}, "of its 'state_dict'"),
        (lambda state: {"model": state, "model_ema": {"module": state}}, "of its 'model_ema' / 'module'"),
        (wrapped("module."), "names without 'module.'"),
        (wrapped("_orig_mod.module."), "names without '_orig_mod.module.'"),
        (wrapped("model.encoder."), "names without 'model.encoder.'"),
        (wrapped("backbone."), "unused: decoder.weight, fc.weight, fc.bias"),
        (lambda state: {f"{i}.{k.rpartition('.')[2]}": v for i, (k, v) in enumerate(state.items())}, "another program"),
    ],
)
def test_every_wrapping_is_read(form: Callable[[State], Any], said: str, tmp_path: Path) -> None:
    """The encoder's tensors arrive bit by bit; the line says how they were found and that the head is new."""
    given = network().state_dict()
    torch.save(form(given), tmp_path / "x.pth")
    state, start = begin(tmp_path / "x.pth")
    assert all(torch.equal(state[name], given[name]) for name in given if not name.startswith("fc."))
    assert said in start.notes[0]
    assert "head new (fc)" in start.notes[0]
    assert start.keeps_statistics


class Payload:
    """Its unpickling makes a folder."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("ran",)


def compressed(path: Path) -> None:
    """An archive that torch.save would not write."""
    torch.save({"x": torch.zeros(3)}, path)
    with zipfile.ZipFile(path) as old:
        entries = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in entries.items():
            new.writestr(name, content)


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "pickle": (lambda path: torch.save(Payload(), path), "holds more than tensors"),
    "pickle within": (lambda path: torch.save({"state_dict": network().state_dict(), "x": Payload()}, path), "tensors"),
    "compressed": (compressed, "a compressed archive"),
    "cut": (lambda path: (torch.save(network().state_dict(), path), os.truncate(path, 2000)), "not readable"),
    "text": (lambda path: path.write_text("weights"), "not a readable safetensors file"),
    "empty": (lambda path: path.write_bytes(b""), "not a readable safetensors file"),
    "no tensors": (lambda path: torch.save({"epoch": 3}, path), "holds no state_dict"),
    "deeper": (
        lambda path: torch.save(network(tiny.resnet(layers=(2, 1, 1, 1))).state_dict(), path),
        "has the unexpected layer1.1",
    ),
    "other": (lambda path: torch.save(network(tiny.VIT).state_dict(), path), "lacks conv1"),
    "wider": (
        lambda path: torch.save(network(tiny.resnet(channels=(8, 8, 8, 16))).state_dict(), path),
        "has another shape for layer4",
    ),
    "not finite": (
        lambda path: torch.save(
            {k: v * torch.nan if v.ndim == 4 else v for k, v in network().state_dict().items()}, path
        ),
        "not finite in conv1",
    ),
    "whole numbers": (
        lambda path: torch.save({k: v.long() for k, v in network().state_dict().items()}, path),
        "another number type for conv1",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_does_not_fit_is_one_line(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no pickle runs."""
    monkeypatch.chdir(tmp_path)
    write, line = BROKEN[kind]
    write(tmp_path / "x.pth")
    with pytest.raises(UserError, match=line) as error:
        begin(tmp_path / "x.pth")
    assert "x.pth" in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 300 + len(str(tmp_path))
    assert not Path("ran").exists()


def test_names_are_matched_by_order_only_where_the_file_has_one(tmp_path: Path) -> None:
    """A safetensors file is sorted by name: 10 stands before 2."""
    renamed = {f"{i}.{k.rpartition('.')[2]}": v for i, (k, v) in enumerate(network().state_dict().items())}
    save_file(renamed, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="lacks conv1"):
        begin(tmp_path / "x.safetensors")


@pytest.mark.parametrize("channels", [1, 4, 5, 13])
def test_first_kernels_are_adapted_to_other_channels(channels: int, tmp_path: Path) -> None:
    """An image whose channels are all alike gives what the gray image gave; all other tensors are the file's."""
    given = network().state_dict()
    torch.save(given, tmp_path / "x.pth")
    state, start = begin(tmp_path / "x.pth", channels=channels)
    (first, *_) = [name for name in given if given[name].ndim == 4]
    image = torch.rand(1, 1, 16, 16)
    ours, theirs = (
        torch.conv2d(image.expand(1, kernel.shape[1], 16, 16), kernel) for kernel in (state[first], given[first])
    )
    if channels == 1:
        assert torch.allclose(ours, theirs, atol=1e-5)
    assert torch.allclose(
        state[first].sum(1).mean(), given[first].sum(1).mean() * _share(channels, given[first]), atol=1e-5
    )
    others = [name for name in given if name != first and not name.startswith("fc.")]
    assert all(torch.equal(state[name], given[name]) for name in others)
    assert f"first kernels from 3 to {channels} channels" in start.notes[1]


def _share(channels: int, kernel: Tensor) -> float:
    """Total weight of the repeated channels by that of RGB, at 3 / channels each."""
    if channels == 1:
        return 1.0
    totals = kernel.sum(dim=(0, 2, 3))
    return float(sum(totals[i % 3] for i in range(channels)) * 3 / channels / totals.sum())


def test_weights_of_other_channels_than_three_are_not_adapted(tmp_path: Path) -> None:
    """What their channels mean is not known."""
    card = Card(RESNET, ImageFormat.plain((16, 16), 5, "uint8"))
    save_weights(tmp_path / "x.safetensors", network(channels=5, classes=0).state_dict(), card)
    with pytest.raises(UserError, match="images of 5 channels, the data have 3"):
        begin(tmp_path / "x.safetensors")


@pytest.mark.case("positions of 4 x 4 patches were taken as those of 2 x 8, as many, without a word")
def test_positions_go_by_the_grid_not_by_their_number(tmp_path: Path) -> None:
    """A table that tells each patch's place in the image tells the new patches' places, at equal length too."""
    config = tiny.VIT
    model = build_model(config, in_chans=1, image_size=(16, 16))
    state = model.state_dict()
    prefix = state["pos_embed"].shape[1] - 16
    rows, columns = torch.meshgrid((torch.arange(4) + 0.5) / 4, (torch.arange(4) + 0.5) / 4, indexing="ij")
    state["pos_embed"].zero_()
    state["pos_embed"][0, prefix:, 0], state["pos_embed"][0, prefix:, 1] = rows.flatten(), columns.flatten()
    state["pos_embed"][0, :prefix] = 7.0
    save_weights(tmp_path / "x.safetensors", state, Card(config, ImageFormat.plain((16, 16), 1, "uint8")))
    wide = build_model(config, in_chans=1, image_size=(8, 32), seed=5)
    start = initialize(wide, str(tmp_path / "x.safetensors"), config, ImageFormat.plain((8, 32), 1, "uint8"))
    table = wide.state_dict()["pos_embed"]
    assert torch.equal(table[0, :prefix], state["pos_embed"][0, :prefix])
    found = table[0, prefix:].unflatten(0, (2, 8))
    assert found[:, :, 0].mean(1).tolist() == pytest.approx([0.25, 0.75], abs=0.03)
    places = (torch.arange(8) + 0.5) / 8
    assert torch.allclose(found[0, 2:6, 1], places[2:6], atol=0.03)
    assert "position table resampled from 4 x 4 to 2 x 8 patches" in start.notes[1]


@pytest.mark.parametrize("side", [8, 32])
def test_public_vits_start_at_another_size_and_patch(side: int, tmp_path: Path) -> None:
    """A file without a card counts as trained on square images."""
    torch.save(network(tiny.VIT).state_dict(), tmp_path / "x.pth")
    other = tiny.vit(patch=side // 4)
    _, start = begin(tmp_path / "x.pth", other, side=side)
    assert f"patch kernels resampled from 4 x 4 to {side // 4} x {side // 4} pixels" in start.notes[1]
    _, start = begin(tmp_path / "x.pth", tiny.VIT, side=side)
    assert f"from 4 x 4 to {side // 4} x {side // 4} patches" in start.notes[1]


def test_a_run_starts_at_another_size_and_patch(tmp_path: Path) -> None:
    """With a card, too: everything else about the encoder must be the same."""
    card = Card(tiny.VIT, ImageFormat.plain((16, 16), 3, "uint8"))
    save_weights(tmp_path / "x.safetensors", network(tiny.VIT, classes=0).state_dict(), card)
    _, start = begin(tmp_path / "x.safetensors", tiny.vit(patch=8), side=64)
    assert not start.keeps_statistics
    assert "resampled from 4 x 4 to 8 x 8 patches" in start.notes[1]
    with pytest.raises(UserError, match="holds another encoder"):
        begin(tmp_path / "x.safetensors", tiny.vit(32))


@pytest.mark.parametrize(
    ("channels", "kind", "mean"),
    [
        (3, "uint8", (0.5, 0.5, 0.5)),
        (1, "uint8", (0.5,)),
        (5, "uint8", (0.2,) * 5),
        (3, "uint16", (0.2,) * 3),
    ],
)
def test_images_reach_public_weights_as_these_were_trained(
    channels: int, kind: Kind, mean: tuple[float, ...], tmp_path: Path
) -> None:
    """By the values that timm lists, where they can hold: for RGB or gray images of 8 bits."""
    config = EncoderConfig(encoder="tf_efficientnet_lite0")
    format = replace(ImageFormat.plain((32, 32), channels, kind), mean=(0.2,) * channels)
    assert as_trained(format, "x.pth", config.encoder, None).mean == mean
    assert as_trained(format, "hf:user/name", config.encoder, None) == format


def test_a_runs_own_normalization_goes_with_its_weights(tmp_path: Path) -> None:
    """Unless the data's is asked for, or its stored values have another range."""
    own = replace(ImageFormat.plain((16, 16), 3, "uint8"), mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    save_weights(tmp_path / "x.safetensors", network(classes=0).state_dict(), Card(RESNET, own))
    data = replace(own, mean=(0.7,) * 3)
    other = replace(data, value_range=(0.0, 99.0))

    def begun(format: ImageFormat, **how: Any) -> Start:
        return initialize(network(), str(tmp_path / "x.safetensors"), RESNET, format, **how)

    assert begun(data).format == own
    assert "mean 0.1 0.2 0.3, deviation 0.4 0.5 0.6" in begun(data).notes[-1]
    assert begun(data, normalization="data").format == data
    assert begun(other).format == other
    assert begun(own).notes == begun(own, normalization="data").notes

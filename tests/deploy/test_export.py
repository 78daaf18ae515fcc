"""What leaves the package gives the run's numbers without it; what does not is never written."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
from PIL import Image
from torch import nn

from unmask.cli.main import main
from unmask.data.decoding.image_format import ImageFormat, Kind
from unmask.data.pixels import CachedPixels
from unmask.deploy.export import export
from unmask.deploy.images import load_as_trained
from unmask.deploy.served import Served
from unmask.deploy.trained import read_trained
from unmask.errors import UserError
from unmask.runs.files import read_json
from unmask.tasks.classification import Classification
from unmask.training.checkpoint import save_tensors
from unmask.weights.card import load_weights, save_weights
from unmask.weights.network import load_model


def _expected(run: Path, images: np.ndarray, folder: Path) -> torch.Tensor:
    """The run's own output for 8-bit images, through files and evaluation's preprocessing."""
    np.save(folder / "images.npy", images)
    trained = read_trained(run)
    chosen = load_as_trained(trained, str(folder / "images.npy")).readable
    batch = next(iter(chosen.batches(torch.arange(len(chosen)), 99)))
    with torch.no_grad():
        return trained.model(batch.images)


def _images(count: int = 7) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, 1, 16, 16), dtype=np.uint8)


def _run_card(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Execute the loading code of the model card, in its folder, and return its names."""
    code = (folder / "README.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    with monkeypatch.context() as patch:
        patch.chdir(folder)
        exec(compile(code, "README.md", "exec"), names)
    return names


@pytest.mark.parametrize("name", ["cnn_run", "vit_run"])
def test_timm_loads_it(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By checkpoint_path and by local-dir, as the card prints it, with head or without: the same bits as the run's."""
    run = request.getfixturevalue(name)
    folder = export(run, "timm", tmp_path / "out").folder
    model = _run_card(folder, monkeypatch)["model"]
    trained = read_trained(run)
    inputs = torch.randn(3, 1, 16, 16)
    with torch.no_grad():
        assert torch.equal(model(inputs), trained.model(inputs))
    options = read_json(folder / "config.json")["model_args"]
    literal = timm.create_model(trained.card.encoder.encoder, checkpoint_path=folder / "model.safetensors", **options)
    for key, tensor in trained.model.state_dict().items():
        assert torch.equal(tensor, literal.state_dict()[key]), key
    settings = timm.data.resolve_model_data_config(model)
    assert settings["input_size"] == (1, 16, 16)
    assert (tuple(settings["mean"]), tuple(settings["std"])) == (trained.card.format.mean, trained.card.format.std)
    assert list(model.pretrained_cfg.get("label_names") or []) == list(trained.card.classes)


def test_timm_prepares_images_as_evaluation_does(cnn_run: Path, tmp_path: Path) -> None:
    """timm's own transform, built from config.json, on a gray file of another size."""
    picture = np.random.default_rng(0).integers(0, 256, (24, 40), dtype=np.uint8)
    (tmp_path / "one").mkdir()
    Image.fromarray(picture).save(tmp_path / "one" / "a.png")
    folder = export(cnn_run, "timm", tmp_path / "out").folder
    model = timm.create_model(f"local-dir:{folder}", pretrained=True)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    trained = read_trained(cnn_run)
    images = load_as_trained(trained, str(tmp_path / "one")).readable
    ours = next(iter(images.batches(torch.arange(1), 1))).images[0]
    theirs = transform(Image.open(tmp_path / "one" / "a.png"))
    level = 1 / 255 / trained.card.format.std[0]
    assert float((ours - theirs).abs().max()) < 1.01 * level


@pytest.mark.slow
@pytest.mark.case("another normalization in the exported file halved the accuracy")
@pytest.mark.parametrize("name", ["cnn_run", "vit_run", "patchnet_run"])
def test_onnx_takes_pixels_as_stored(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Raw 8-bit values into onnxruntime, at batches of 1, 2, 5 and 7: the run's output within 1e-4."""
    run = request.getfixturevalue(name)
    folder = export(run, "onnx", tmp_path / "out").folder
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "model.onnx"]
    images = _images()
    expected = _expected(run, images, tmp_path)
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    for size in (1, 2, 5, 7):
        (got,) = session.run(None, {"images": images[:size].astype(np.float32)})
        assert np.allclose(got, expected[:size].numpy(), atol=1e-4), size
    onnx.checker.check_model(str(folder / "model.onnx"))
    facts = {entry.key: entry.value for entry in onnx.load(str(folder / "model.onnx")).metadata_props}
    assert json.loads(facts["unmask"])["format"]["mean"] == list(read_trained(run).card.format.mean)
    assert facts["inputs"] == "stored"
    output = "logits" if read_trained(run).card.classes else "features"
    assert _run_card(folder, monkeypatch)[output].shape == (1, expected.shape[1])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unstrided_run", "vit_run"])
def test_torch_export(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The .pt2 file, loaded again, at several batches; `normalized` takes what the encoder sees."""
    run = request.getfixturevalue(name)
    inputs = "stored" if name == "unstrided_run" else "normalized"
    folder = export(run, "torch-export", tmp_path / "out", inputs=inputs).folder
    model = torch.export.load(folder / "model.pt2").module()
    images = _images()
    expected = _expected(run, images, tmp_path)
    card = read_trained(run).card
    given = torch.from_numpy(images).float()
    if inputs == "normalized":
        given = (given / 255 - card.format.mean[0]) / card.format.std[0]
    with torch.no_grad():
        for size in (1, 2, 5, 7):
            assert torch.allclose(model(given[:size]), expected[:size], atol=1e-5), size
    assert "model" in _run_card(folder, monkeypatch)


def test_safetensors_hold_any_network(unstrided_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that timm alone cannot build: the card in the file's header rebuilds it."""
    folder = export(unstrided_run, "safetensors", tmp_path / "out").folder
    names = _run_card(folder, monkeypatch)
    images = _images()
    with torch.no_grad():
        for model in (
            names["model"],
            load_model(unstrided_run),
            load_model(str(unstrided_run / "encoder.safetensors")),
        ):
            assert model.card == read_trained(unstrided_run).card
            found = model.module(model.card.format.prepare(torch.from_numpy(images)))
            assert torch.equal(found, _expected(unstrided_run, images, tmp_path))
    assert names["logits"].shape == (1, 3)
    assert read_json(folder / "card.json")["format"]["size"] == [16, 16]


def test_what_is_no_model_is_named(cnn_run: Path, tmp_path: Path) -> None:
    """No file, a file without a card, and weights of another network than the card says."""
    with pytest.raises(UserError, match=r"path: .*gone is neither a run folder nor a weights file$"):
        load_model(tmp_path / "gone")
    weights, card = load_weights(cnn_run / "encoder.safetensors")
    save_tensors(tmp_path / "bare.safetensors", weights, {})
    with pytest.raises(UserError, match=r"bare\.safetensors: has no card"):
        load_model(tmp_path / "bare.safetensors")
    assert card is not None
    save_weights(tmp_path / "other.safetensors", weights, replace(card, task=Classification(classes=("a", "b"))))
    with pytest.raises(UserError, match=r"other\.safetensors: does not hold the weights of its encoder resnet10t"):
        load_model(tmp_path / "other.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("to", ["onnx", "torch-export"])
def test_a_window_travels_in_the_graph(
    to: Any, patchnet_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that clipped pixel values: values beyond its window give what the window's ends give."""
    trained = read_trained(patchnet_run)
    window = replace(trained.card.format, clipped=True, value_range=(50.0, 180.0))
    windowed = replace(trained, card=replace(trained.card, format=window))
    monkeypatch.setattr("unmask.deploy.export.read_trained", lambda *_: windowed)
    folder = export(patchnet_run, to, tmp_path / "out").folder
    images = _images(4).astype(np.float32)
    if to == "onnx":
        session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
        outputs = [session.run(None, {"images": x})[0] for x in (images, images.clip(50, 180))]
    else:
        model = torch.export.load(folder / "model.pt2").module()
        outputs = [model(torch.from_numpy(x)).detach().numpy() for x in (images, images.clip(50, 180))]
    assert np.array_equal(*outputs)
    shares = (images.clip(50, 180) - 50) / 130
    with torch.no_grad():
        expected = trained.model(window.normalize(torch.from_numpy(shares)))
    assert np.allclose(outputs[0], expected.numpy(), atol=1e-4)


@pytest.mark.case("a missing pixel (NaN) made every output of an exported graph NaN")
@pytest.mark.parametrize("to", ["onnx", "torch-export"])
def test_missing_pixels_are_filled_in_the_graph(to: Any, patchnet_run: Path, tmp_path: Path) -> None:
    """As predict fills them, within 1e-4; the card says what becomes of them."""
    folder = export(patchnet_run, to, tmp_path / "out").folder
    assert "missing (NaN in the file" in (folder / "README.md").read_text(encoding="utf-8")
    images = _images(3).astype(np.float32)
    images[0, 0, :5, 2:9] = images[2, 0, 7] = np.nan
    np.save(tmp_path / "images.npy", images / 255)
    trained = read_trained(patchnet_run)
    chosen = load_as_trained(trained, str(tmp_path / "images.npy")).readable
    with torch.no_grad():
        expected = trained.model(next(iter(chosen.batches(torch.arange(3), 3))).images)
    if to == "onnx":
        session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
        found = torch.from_numpy(session.run(None, {"images": images})[0])
    else:
        found = torch.export.load(folder / "model.pt2").module()(torch.from_numpy(images)).detach()
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(("name", "text"), [("unstrided_run", "unstrided"), ("patchnet_run", "patchnet")])
def test_what_timm_cannot_build_is_said(name: str, text: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """One line that offers the other formats; nothing is written."""
    with pytest.raises(UserError, match=rf'{text}.*`to="torch-export"`, onnx or safetensors'):
        export(request.getfixturevalue(name), "timm", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_export_is_never_left_behind(cnn_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph that forgets the normalization differs from the run: an error, and no folder."""
    monkeypatch.setattr(Served, "forward", lambda self, images: self.model(images / 255))
    with pytest.raises(UserError, match=r"model.pt2: differs from the run by .* nothing was exported"):
        export(cnn_run, "torch-export", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("clipped", [True, False])
@pytest.mark.parametrize(
    ("kind", "scale"), [("uint8", (0.0, 255.0)), ("uint16", (300.0, 4000.0)), ("float32", (-2.0, 3.0))]
)
def test_the_graph_scales_as_the_data_room_does(kind: Kind, scale: tuple[float, float], clipped: bool) -> None:
    """Windows, 16 bits, floats, several channels, with and without clipping."""
    rng = np.random.default_rng(0)
    top = {"uint8": 255, "uint16": 65535, "float32": 4}[kind]
    values = torch.from_numpy((rng.random((3, 2, 4, 5)) * top - (3 if kind == "float32" else 0)).astype(kind))
    wanted = ImageFormat((4, 5), 2, kind, scale, clipped, mean=(0.2, 0.6), std=(0.1, 0.3))
    shares, _ = CachedPixels(values, wanted).read(torch.arange(3))
    expected = (shares - torch.tensor(wanted.mean)[:, None, None]) / torch.tensor(wanted.std)[:, None, None]
    served = Served(nn.Identity(), wanted, normalized=False)
    assert torch.allclose(served(values.float()), expected, rtol=1e-5, atol=1e-5)


def test_the_graph_scales_each_channel_by_its_own_range() -> None:
    """As the data room does, clipped and in 8-bit units of 16 bits, too."""
    values = torch.rand(3, 2, 4, 5) * torch.tensor([3000.0, 1.0])[:, None, None]
    own = ((200.0, 2000.0), (0.1, 0.8))
    wanted = ImageFormat((4, 5), 2, "float32", (0.0, 3000.0), True, (0.2, 0.6), (0.1, 0.3), own)
    shares, _ = CachedPixels(values, wanted).read(torch.arange(3))
    for i, (low, high) in enumerate(own):
        assert torch.allclose(shares[:, i], ((values[:, i] - low) / (high - low)).clamp(0, 1), atol=1e-6)
    assert torch.allclose(Served(nn.Identity(), wanted, normalized=False)(values), wanted.prepare(values), atol=1e-5)
    assert replace(wanted, kind="uint8").holding("uint16").channel_ranges[1] == pytest.approx((0.1 * 257, 0.8 * 257))


def test_an_earlier_export_is_replaced_on_demand(
    cnn_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only its own files; the command prints where it is, how well it agrees and how it is loaded."""
    words = ["export", str(cnn_run), "--to", "safetensors", "--out", str(tmp_path / "out")]
    for extra in ([], ["--overwrite"]):
        with pytest.raises(SystemExit) as end:
            main([*words, *extra])
        assert end.value.code == 0
        (tmp_path / "out" / "mine.txt").write_text("precious")
    assert "checked on real images" in capsys.readouterr().out
    assert (tmp_path / "out" / "mine.txt").read_text() == "precious"


def test_missing_data_can_be_replaced(cnn_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On another machine the run's images may be gone: any others will do for the check."""
    trained = read_trained(cnn_run)
    gone = replace(trained, data=replace(trained.data, data="gone/away", options=None))
    monkeypatch.setattr("unmask.deploy.export.read_trained", lambda *_: gone)
    with pytest.raises(UserError, match=r"gone/away.*`data` names others"):
        export(cnn_run, "safetensors", tmp_path / "out")
    np.save(tmp_path / "images.npy", _images(2))
    export(cnn_run, "safetensors", tmp_path / "out", data=str(tmp_path / "images.npy"))


def test_onnx_without_its_packages(cnn_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that names the extra."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"onnx, onnxruntime, onnxscript: pip install 'unmask\[onnx\]'"):
        export(cnn_run, "onnx", tmp_path / "out")


def test_weights_from_before_image_formats_are_refused_in_one_line(tmp_path: Path) -> None:
    """Their card held the size, channels and range as loose fields."""
    old = {"encoder": {"encoder": "resnet10t"}, "channels": 1, "image_size": [16, 16], "value_range": [0, 255]}
    save_tensors(tmp_path / "old.safetensors", {"x": torch.zeros(1)}, {"card": old})
    with pytest.raises(UserError, match=r"old\.safetensors: was written by an earlier version of unmask"):
        load_weights(tmp_path / "old.safetensors")

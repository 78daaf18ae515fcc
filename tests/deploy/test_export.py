"""What leaves the package gives the run's numbers without it; what does not is never written."""

import contextlib
import io
import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
from huggingface_hub.utils import filter_repo_objects
from PIL import Image
from torch import nn

import tiny
import unmask
from unmask.cli.main import main
from unmask.config import PretrainConfig, TargetConfig, to_json
from unmask.data.decoding.image_format import ImageFormat, Kind
from unmask.data.load import Dataset
from unmask.data.pixels import CachedPixels
from unmask.deploy.export import export
from unmask.deploy.formats import Format
from unmask.deploy.images import load_as_trained
from unmask.deploy.modelcard import model_card
from unmask.deploy.served import Served
from unmask.deploy.trained import read_trained
from unmask.errors import UserError
from unmask.runs.files import read_json
from unmask.stages.pretrain import pretrain
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


def test_the_card_tells_what_was_measured(cnn_run: Path, tmp_path: Path) -> None:
    """Scores of result.json, data, license; no path of this machine."""
    export(cnn_run, "safetensors", tmp_path / "out", license="cc-by-4.0")
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    scores = read_json(cnn_run / "result.json")["metrics"]["test"]
    assert f"| test | 18 | {100 * scores['accuracy']:.1f} |" in text
    assert text.startswith("---\nlicense: cc-by-4.0\npipeline_tag: image-classification\n")
    assert "30 labeled training images" in text
    assert str(cnn_run.parent) not in text


def test_the_card_of_a_pretraining(vit_run: Path, tmp_path: Path) -> None:
    """Its loss beside the loss of predicting the mean; without a license it says so."""
    export(vit_run, "safetensors", tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "predicting each cell's mean" in text
    assert "None is stated yet" in text
    assert "image-feature-extraction" in text


def test_the_card_names_the_baseline_of_a_teacher(data: Dataset, tmp_path: Path) -> None:
    """Zero is each channel's mean over the image, not the mean of a cell."""
    recipe = replace(tiny.pretrain_recipe(steps=2, batch_size=10), target=TargetConfig(target="ema_teacher"))
    config = PretrainConfig(data=tiny.multiview(30, 15, 18), encoder=tiny.VIT, recipe=recipe)
    export(pretrain(config, tmp_path / "run", progress=False, dataset=data), "safetensors", tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "(predicting each teacher channel's mean over the image: " in text
    assert "cell's mean" not in text


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


class _Hub:
    """Stands for huggingface_hub.HfApi; remembers what it was asked."""

    calls: list[tuple[str, dict[str, Any]]]

    def __init__(self, **_: Any) -> None:
        pass

    def create_repo(self, repo_id: str, **options: Any) -> Any:
        """As the hub: an address that knows its repository."""
        if repo_id == "someone/else":
            raise PermissionError("403 Forbidden:\n you may not write there")
        _Hub.calls.append((repo_id, options))
        return SimpleNamespace(repo_id=repo_id)

    def upload_folder(self, **options: Any) -> None:
        """Remember the files that are there to be uploaded, as the hub chooses them."""
        files = sorted(path.name for path in Path(options["folder_path"]).iterdir())
        files = list(filter_repo_objects(files, allow_patterns=options.get("allow_patterns")))
        _Hub.calls.append((options["repo_id"], {"files": files}))


def test_push_to_hub(cnn_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A private repository unless asked, the checked files; a refusal is one line and the export stays."""
    _Hub.calls = []
    monkeypatch.setattr("huggingface_hub.HfApi", _Hub)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "token")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    (tmp_path / "out").mkdir()
    for name in ("secret.txt", "README.md", "model.safetensors.bak"):
        (tmp_path / "out" / name).write_text("mine")
    export(cnn_run, "safetensors", tmp_path / "out", push_to_hub="me/encoder", overwrite=True)
    assert (tmp_path / "out" / "secret.txt").read_text() == "mine"
    assert _Hub.calls == [
        ("me/encoder", {"private": True, "exist_ok": True}),
        ("me/encoder", {"files": ["README.md", "card.json", "model.safetensors"]}),
    ]
    with pytest.raises(UserError, match=r"someone/else was not uploaded \(PermissionError: 403 Forbidden: you may"):
        export(cnn_run, "safetensors", tmp_path / "two", push_to_hub="someone/else", public=True)
    assert (tmp_path / "two" / "model.safetensors").exists()


@pytest.mark.slow
@pytest.mark.parametrize("to", ["timm", "safetensors", "onnx", "torch-export"])
def test_no_path_of_this_machine_is_in_an_export(to: Format, cnn_run: Path, tmp_path: Path) -> None:
    """Data, start, teacher and notes of the run are named by their last part, graphs by no source file at all."""
    run = Path(shutil.copytree(cnn_run, tmp_path / "run"))
    config = read_json(run / "config.json")
    config["kind"], config["init"] = "fine-tuning", str(tmp_path / "secret" / "start")
    config["data"]["data"] = str(tmp_path / "secret" / "images")
    (run / "config.json").write_text(json.dumps(config))
    export(run, to, tmp_path / "out", data="multiview")
    here = [str(tmp_path), str(Path(torch.__file__).parent), str(Path(unmask.__file__).parent), str(Path.home()) + "/"]
    for file in (tmp_path / "out").iterdir():
        parts = zipfile.ZipFile(file) if zipfile.is_zipfile(file) else None
        content = file.read_bytes() if parts is None else b"".join(map(parts.read, parts.namelist()))
        assert not [path for path in here if path.encode() in content], file.name


def test_the_card_names_a_teacher_by_its_last_part(cnn_run: Path) -> None:
    """As the data: the folders above are nobody's business."""
    trained = read_trained(cnn_run)
    target = TargetConfig(target="frozen_teacher", teacher="/home/me/secret/teacher")
    settings = {"recipe": to_json(replace(PretrainConfig().recipe, target=target))}
    page = model_card(
        replace(trained, settings=settings), "safetensors", normalized=False, license=None, difference=0.0
    )
    assert '"teacher": "teacher"' in page
    assert "secret" not in page


@pytest.mark.parametrize(
    ("token", "offline", "name", "text"),
    [
        (None, "", "me/encoder", "hf auth login"),
        ("token", "1", "me/encoder", "HF_HUB_OFFLINE"),
        ("token", "", "me/en coder", "no name of a repository"),
    ],
)
def test_what_cannot_be_uploaded_is_said_first(
    token: str | None,
    offline: str,
    name: str,
    text: str,
    cnn_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before anything is written."""
    monkeypatch.setattr("huggingface_hub.get_token", lambda: token)
    monkeypatch.setenv("HF_HUB_OFFLINE", offline)
    with contextlib.redirect_stdout(io.StringIO()), pytest.raises(UserError, match=text):
        export(cnn_run, "safetensors", tmp_path / "out", push_to_hub=name)
    assert list(tmp_path.iterdir()) == []


def test_weights_from_before_image_formats_are_refused_in_one_line(tmp_path: Path) -> None:
    """Their card held the size, channels and range as loose fields."""
    old = {"encoder": {"encoder": "resnet10t"}, "channels": 1, "image_size": [16, 16], "value_range": [0, 255]}
    save_tensors(tmp_path / "old.safetensors", {"x": torch.zeros(1)}, {"card": old})
    with pytest.raises(UserError, match=r"old\.safetensors: was written by an unmask from before this version"):
        load_weights(tmp_path / "old.safetensors")

"""The model card: what was measured, what it is measured against, and nothing of this machine."""

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tiny
import unmask
from unmask.config import PretrainConfig, TargetConfig, to_json
from unmask.data.load import Dataset
from unmask.deploy.export import export
from unmask.deploy.formats import Format
from unmask.deploy.modelcard import model_card
from unmask.deploy.trained import read_trained
from unmask.errors import UserError
from unmask.runs.files import read_json
from unmask.stages.pretrain import pretrain


def test_the_card_tells_what_was_measured(cnn_run: Path, tmp_path: Path) -> None:
    """Scores of result.json, data, license; no path of this machine."""
    export(cnn_run, "safetensors", tmp_path / "out", license="cc-by-4.0")
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    scores = read_json(cnn_run / "result.json")["metrics"]["test"]
    assert f"| test images | 18 | {100 * scores['accuracy']:.1f} |" in text
    assert text.startswith("---\nlicense: cc-by-4.0\npipeline_tag: image-classification\n")
    assert "30 labeled training images" in text
    assert str(cnn_run.parent) not in text


@pytest.mark.parametrize("license", ["CC BY 4.0", "mit\ntags: [x]", "", "no: license"])
def test_a_license_that_would_break_the_card_is_refused(cnn_run: Path, tmp_path: Path, license: str) -> None:
    with pytest.raises(UserError, match=r"license: .* is not an identifier"):
        export(cnn_run, "safetensors", tmp_path / "out", license=license)
    assert not (tmp_path / "out").exists()


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

"""Fine-tuning on masks: it starts from the encoder's weights, and goes on where it was stopped, to the same bits."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

import tiny
from unmask.config import ClassifyConfig, ClassifyRecipe, DataConfig, OptimizerConfig, PretrainConfig
from unmask.data.load import Dataset, load_data
from unmask.errors import UserError
from unmask.runs.files import read_json
from unmask.runs.metrics import read_metrics
from unmask.stages.classify import finetune
from unmask.stages.pretrain import pretrain
from unmask.training.checkpoint import load_tensors
from unmask.training.step import Step

STEPS = 8


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tiny.mask_folder(tmp_path_factory.mktemp("data") / "masks")
    return load_data(DataConfig(data=str(folder)), labels=True, progress=False)


@pytest.fixture(scope="module")
def pretrained(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = PretrainConfig(encoder=tiny.RESNET, recipe=tiny.pretrain_recipe(steps=2, batch_size=6))
    return pretrain(config, tmp_path_factory.mktemp("runs") / "pretrained", progress=False, dataset=data)


@pytest.fixture
def config(pretrained: Path) -> ClassifyConfig:
    """A head phase, averaged weights, the best of three looks, mixup of masks, balanced classes."""
    optimizer = OptimizerConfig(steps=STEPS, batch_size=4, lr=3e-3, ema=0.5)
    recipe = ClassifyRecipe(
        optimizer=optimizer, head_steps=2, evaluations=3, patience=3, mixup=0.2, class_weights="balanced"
    )
    return ClassifyConfig(encoder=tiny.RESNET, recipe=recipe, budget=8, init=str(pretrained), save_steps=3)


@pytest.mark.slow
def test_stopped_anywhere_it_ends_bit_equal(config: ClassifyConfig, data: Dataset, tmp_path: Path) -> None:
    def stop(step: Step) -> None:
        if (step.phase, step.step) == ("all", 4):
            raise KeyboardInterrupt

    whole, part = tmp_path / "whole", tmp_path / "part"
    finetune(config, whole, progress=False, dataset=data)
    with pytest.raises(KeyboardInterrupt):
        finetune(config, part, progress=False, dataset=data, on_step=stop)
    finetune(config, part, resume=True, progress=False, dataset=data)
    one, two = (load_tensors(run / "encoder.safetensors")[0] for run in (whole, part))
    assert one.keys() == two.keys()
    assert all(torch.equal(tensor, two[name]) for name, tensor in one.items())
    assert read_metrics(whole) == read_metrics(part)
    results = [read_json(run / "result.json")["metrics"] for run in (whole, part)]
    assert results[0] == results[1]
    assert 0 < results[0]["test"]["miou"] < 1


def test_a_frozen_encoder_stays_what_was_pretrained(
    config: ClassifyConfig, data: Dataset, pretrained: Path, tmp_path: Path
) -> None:
    """Its weights to the bit, and of BatchNorm the statistics that are estimated on whole images."""
    frozen = replace(config, recipe=replace(config.recipe, encoder_lr_scale=0.0))
    run = finetune(frozen, tmp_path / "run", progress=False, dataset=data)
    before, after = (load_tensors(folder / "encoder.safetensors")[0] for folder in (pretrained, run))
    weights = [name for name in before if "running" not in name and "num_batches" not in name]
    assert len(weights) > 10
    assert all(torch.equal(after[f"encoder.{name}"], before[name]) for name in weights)


def test_another_mask_is_other_data(config: ClassifyConfig, data: Dataset, tmp_path: Path) -> None:
    """One pixel of one mask changes the fingerprint, which stops a resume."""
    folder = tiny.mask_folder(tmp_path / "masks")
    same = load_data(DataConfig(data=str(folder)), labels=True, progress=False)
    assert same.fingerprint == data.fingerprint
    mask = folder / "train/masks/0.png"
    with Image.open(mask) as image:
        image.putpixel((8, 8), 2 if image.getpixel((8, 8)) != 2 else 0)
        image.save(mask)
    other = load_data(DataConfig(data=str(folder)), labels=True, progress=False)
    assert other.fingerprint != data.fingerprint
    finetune(config, tmp_path / "run", progress=False, dataset=data)
    (tmp_path / "run" / "result.json").unlink()
    with pytest.raises(UserError, match="fingerprint"):
        finetune(config, tmp_path / "run", resume=True, progress=False, dataset=other)

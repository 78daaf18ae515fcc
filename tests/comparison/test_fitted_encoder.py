"""Encoders given with --pretrained that saw images of another size, number type or range."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from unmask.comparison.chosen_labels import write_choices
from unmask.comparison.fitted_encoder import fitted_encoder
from unmask.comparison.run import compare
from unmask.comparison.tasks import Work
from unmask.config import ClassifyRecipe, OptimizerConfig, PretrainConfig
from unmask.data.decoding.image_format import ImageFormat, Kind
from unmask.data.load import Dataset
from unmask.encoders.build import build_model
from unmask.forward import pooled_features
from unmask.runs.files import read_json
from unmask.runs.layout import CHOSEN, ENCODER_FILE, GALLERY_FILE
from unmask.stages.pretrain import pretrain
from unmask.weights.card import Card, save_weights
from unmask.weights.network import load_model

CONFIG = tiny.comparison(encoder=tiny.RESNET, budgets=("total:6",), labels=("chosen",), given=None)
UNIT: dict[Kind, int] = {"uint8": 1, "uint16": 257}


def load(folder: Path, kind: Kind) -> Dataset:
    """The same 60 gray images with 8 or 16 bits."""
    images = np.random.default_rng(0).integers(0, 256, (60, 16, 16), dtype=np.uint8)
    stored = images.astype(kind) * np.asarray(UNIT[kind], kind)
    np.savez(folder / f"{kind}.npz", images=stored, labels=np.arange(60) % 3)
    return tiny.load(folder / f"{kind}.npz")


def choices(folder: Path, format: ImageFormat, data: Dataset) -> list[object]:
    """What an encoder whose card has this format chooses."""
    weights = build_model(CONFIG.encoder, in_chans=1, image_size=(16, 16)).state_dict()
    (folder / "run").mkdir(parents=True)
    save_weights(folder / "run" / ENCODER_FILE, weights, Card(CONFIG.encoder, format))
    write_choices(Work(replace(CONFIG, pretrained=(folder / "run",)), folder, data))
    return [read_json(file)["ids"] for file in sorted((folder / CHOSEN.folder).iterdir())]


def test_choices_do_not_depend_on_the_format_of_the_pretraining(tmp_path: Path) -> None:
    """The same images with 8 or 16 bits are chosen by the same weights, whatever size and range their card names."""
    eight, sixteen = load(tmp_path, "uint8"), load(tmp_path, "uint16")
    right = choices(tmp_path / "same", eight.format, eight)
    assert len(right) == 3
    large, small = (replace(eight.format, size=(side, side)) for side in (24, 8))
    dim = replace(eight.format, value_range=(0.0, 1000.0), clipped=True)
    for name, format, data in (
        ("8 bits", eight.format, sixteen),
        ("16 bits", sixteen.format, eight),
        ("large", large, eight),
        ("small", small, eight),
        ("range", dim, eight),
    ):
        assert choices(tmp_path / name, format, data) == right, name


@pytest.mark.slow
def test_an_own_pretraining_is_used_as_it_is(tmp_path: Path) -> None:
    """Its features are those of `load_model`: statistics re-estimated on the same images are the same."""
    data = load(tmp_path, "uint8")
    config = PretrainConfig(data=CONFIG.data, encoder=CONFIG.encoder, recipe=CONFIG.pretrain)
    run = pretrain(config, tmp_path / "run", progress=False, dataset=data)
    encoder, images = fitted_encoder(CONFIG, run, data)
    assert images.format == data.format
    found = pooled_features(encoder, images.pretrain).values
    torch.testing.assert_close(found, pooled_features(load_model(run).module, data.pretrain).values)


@pytest.mark.slow
def test_a_comparison_takes_a_run_of_larger_images(tmp_path: Path) -> None:
    """From labels to the map of the features, which without a kept network are those of the pretraining."""
    data = load(tmp_path, "uint8")
    encoder = build_model(CONFIG.encoder, in_chans=1, image_size=(24, 24))
    (tmp_path / "run").mkdir()
    format = replace(data.format, size=(24, 24))
    save_weights(tmp_path / "run" / ENCODER_FILE, encoder.state_dict(), Card(CONFIG.encoder, format))
    config = replace(
        CONFIG,
        pretrained=(tmp_path / "run",),
        arms=("mrp", "scratch_same"),
        finetune=ClassifyRecipe(optimizer=OptimizerConfig(steps=1, batch_size=6)),
        keep="none",
        jobs=1,
    )
    out = compare(config, tmp_path / "out", progress=False, dataset=data)
    shown = read_json(out / GALLERY_FILE)["map"]
    assert shown["network"] == "a pretrained encoder, before any label"
    assert len(shown["points"]) == len(data.tests["test"])


def test_images_are_not_brought_to_another_size_or_range_by_normalization(tmp_path: Path) -> None:
    """Only mean and deviation can change without reading the images again; anything else is an error of the caller."""
    data = load(tmp_path, "uint8")
    other = data.normalized_as(replace(data.format, mean=(0.0,), std=(1.0,)))
    first = next(iter(other.pretrain.batches(torch.arange(4), 4))).images
    assert torch.equal(first, data.pretrain.raw(torch.arange(4)))
    for change in ({"size": (24, 24)}, {"value_range": (0.0, 1.0)}, {"kind": "uint16"}, {"clipped": True}):
        (name,) = change
        with pytest.raises(ValueError, match=f"another format than the one asked for: {name} "):
            data.normalized_as(replace(data.format, **change))  # type: ignore[arg-type]

"""Probe trials: where the encoder runs, and what is read from its features."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

import tiny
from unmask.comparison import train_trial
from unmask.comparison.table import scores_of
from unmask.config import ClassifyConfig, to_json
from unmask.data.imageset import ImageSet
from unmask.data.load import Dataset, load_data
from unmask.forward import Outputs

META = torch.device("meta")


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Small images of three classes."""
    return load_data(tiny.DATA, labels=True, progress=False)


def test_the_encoder_runs_on_the_accelerator(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """With torch's device without storage in place of a GPU: the model is there before its first batch."""
    seen = []

    def features(model: nn.Module, images: ImageSet) -> Outputs:
        seen.append(next(model.parameters()).device)
        return Outputs(images, torch.randn(len(images), 4), torch.arange(len(images)))

    monkeypatch.setattr(train_trial, "build_engine", lambda _: SimpleNamespace(device=META))
    monkeypatch.setattr(train_trial, "pooled_features", features)
    train_trial._probe(ClassifyConfig(encoder=tiny.OVERLAPPING_PATCHNET, budget=3), data)
    assert set(seen) == {META}


def test_neighbours_vote_on_the_features_of_the_probe(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features that name the class, but another one for images without part 1: all right there, and none."""
    wrong = data.tests["single_2"]

    def features(_: nn.Module, images: ImageSet) -> Outputs:
        values = torch.eye(3)[(images.labels + (images is wrong)) % 3]
        return Outputs(images, values, torch.arange(len(images)))

    monkeypatch.setattr(train_trial, "pooled_features", features)
    metrics, _, _ = train_trial._probe(ClassifyConfig(encoder=tiny.OVERLAPPING_PATCHNET, budget=3), data)
    assert {name: scores.knn_accuracy for name, scores in metrics.items()} == {
        name: float(name != "single_2") for name in ("val", *data.tests)
    }
    key = {"arm": "probe_random", "budget": 3, "draw": 0, "pretraining": None, "seconds": 1.0}
    rows = [row for row in scores_of({**key, "metrics": to_json(metrics)}) if row["metric"] == "knn_accuracy"]
    assert {row["split"]: row["value"] for row in rows}["single_2"] == 0.0

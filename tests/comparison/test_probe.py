"""Probe trials: where the encoder runs, and what is read from its features."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

import tiny
from unmask.comparison import train_trial
from unmask.comparison.plan import TrialKey
from unmask.config import ClassifyConfig
from unmask.data.imageset import ImageSet
from unmask.data.load import Dataset, load_data
from unmask.evaluate.knn import knn_predict
from unmask.runs.files import read_json
from unmask.runs.layout import LOGITS, TRIALS
from unmask.stages.classifier import build_classifier, labelled_subset
from unmask.training.checkpoint import load_tensors

CONFIG = ClassifyConfig(encoder=tiny.OVERLAPPING_PATCHNET, budget=3)
KEY = TrialKey(3, 0, "probe_random", None)


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Small images of three classes."""
    return load_data(tiny.DATA, labels=True, progress=False)


def test_the_encoder_runs_on_the_accelerator(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device without storage in place of a GPU: features are computed there, and there are none to bring back."""
    monkeypatch.setattr(train_trial, "build_engine", lambda _: SimpleNamespace(device=torch.device("meta")))
    with pytest.raises(NotImplementedError, match="meta tensor"):
        train_trial.run_trial(CONFIG, KEY, tmp_path, None, data)


def test_scores_are_those_of_the_encoders_features(data: Dataset, tmp_path: Path) -> None:
    """On every split: the vote of the nearest training images, and the accuracy of the probe's own logits."""
    (tmp_path / "trials").mkdir()
    train_trial.run_trial(CONFIG, KEY, tmp_path, None, data)
    found = read_json(TRIALS.path(tmp_path, KEY.name))["metrics"]
    logits = load_tensors(LOGITS.path(tmp_path, KEY.name))[0]
    encoder = build_classifier(CONFIG, data).eval()

    @torch.no_grad()
    def features(images: ImageSet) -> Tensor:
        (batch,) = images.batches(torch.arange(len(images)), len(images))
        return encoder.forward_head(encoder.forward_features(batch.images), pre_logits=True)

    train = labelled_subset(CONFIG, data)
    assert data.val is not None
    for split, images in {"val": data.val, **data.tests}.items():
        votes = knn_predict(features(train), train.labels, features(images), classes=3)
        nearest = (votes.argmax(1) == images.labels).float().mean()
        assert found[split]["knn_accuracy"] == pytest.approx(float(nearest)), split
        if split != "val":
            right = (logits[split].argmax(1) == images.labels).float().mean()
            assert found[split]["accuracy"] == pytest.approx(float(right)), split
    assert len({found[split]["knn_accuracy"] for split in found}) > 1

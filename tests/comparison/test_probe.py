"""Probe trials: where the encoder runs, and what is read from its features."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import tiny
from unmask.comparison import train_trial
from unmask.comparison.plan import TrialKey
from unmask.config import ClassifyConfig, EncoderConfig
from unmask.data.imageset import ImageSet
from unmask.data.load import Dataset, load_data
from unmask.encoders.build import build_model
from unmask.evaluate.knn import knn_predict
from unmask.forward import Outputs
from unmask.runs.files import read_json
from unmask.runs.layout import OUTPUTS, TRIALS
from unmask.stages.classifier import build_classifier, labeled_subset
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
    logits = load_tensors(OUTPUTS.path(tmp_path, KEY.name))[0]
    encoder = build_classifier(CONFIG, data).eval()

    @torch.no_grad()
    def features(images: ImageSet) -> Tensor:
        (batch,) = images.batches(torch.arange(len(images)), len(images))
        return encoder.forward_head(encoder.forward_features(batch.images), pre_logits=True)

    train = labeled_subset(CONFIG, data)
    assert data.val is not None
    for split, images in {"val": data.val, **data.tests}.items():
        votes = knn_predict(features(train), train.labels, features(images), classes=3)
        nearest = (votes.argmax(1) == images.labels).float().mean()
        assert found[split]["knn_accuracy"] == pytest.approx(float(nearest)), split
        if split != "val":
            right = (logits[split].argmax(1) == images.labels).float().mean()
            assert found[split]["accuracy"] == pytest.approx(float(right)), split
    assert len({found[split]["knn_accuracy"] for split in found}) > 1


@pytest.mark.parametrize(("arm", "keeps"), [("probe_given", True), ("probe_random", False)])
def test_given_weights_are_probed_with_their_own_statistics(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arm: str, keeps: bool
) -> None:
    """Public weights have statistics of their own, which re-estimation loses; a random network has none."""
    encoder = EncoderConfig(encoder="resnet10t", encoder_options={"channels": (8, 8, 8, 8)})
    plain = build_model(encoder, in_chans=data.format.channels, image_size=data.format.size)
    for name, buffer in plain.named_buffers():
        if name.endswith("running_mean"):
            buffer.fill_(7.0)
    save_file(plain.state_dict(), tmp_path / "public.safetensors")
    seen = []
    original = train_trial.pooled_features

    def look(model: nn.Module, images: ImageSet) -> Outputs:
        seen.extend(buffer.clone() for name, buffer in model.named_buffers() if name.endswith("running_mean"))
        return original(model, images)

    monkeypatch.setattr(train_trial, "pooled_features", look)
    init = str(tmp_path / "public.safetensors") if keeps else None
    config = ClassifyConfig(encoder=encoder, budget=3, init=init)
    (tmp_path / "trials").mkdir()
    train_trial.run_trial(config, TrialKey(3, 0, arm, None), tmp_path, None, data)
    assert seen
    assert all(bool((mean == 7.0).all()) is keeps for mean in seen)

"""What supervised training starts from: the given encoder, or a line that says why not."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from unmask.config import ClassifyConfig, EncoderConfig, PretrainConfig
from unmask.data.decoding.image_format import ImageFormat
from unmask.data.load import Dataset
from unmask.encoders.build import build_model
from unmask.encoders.heads import head_names
from unmask.errors import UserError
from unmask.runs.files import read_json
from unmask.stages.classifier import build_classifier
from unmask.stages.classify import finetune, scratch
from unmask.stages.pretrain import pretrain
from unmask.stages.supervised import fit
from unmask.weights.card import Card, save_weights
from unmask.weights.network import load_model
from unmask.weights.start import initialize


def test_finetuning_from_the_start_weights_is_scratch(training: ClassifyConfig, data: Dataset, tmp_path: Path) -> None:
    """Fine-tuning from exactly the weights that scratch starts with gives its bits: only the start differs."""
    start = build_classifier(training, data)
    card = Card(training.encoder, data.format)
    save_weights(tmp_path / "start.safetensors", start.state_dict(), card)
    tuned = fit(replace(training, init=str(tmp_path / "start.safetensors")), data)
    fresh = fit(training, data)
    assert torch.equal(tuned.outputs["test"], fresh.outputs["test"])


@pytest.mark.case("fine-tuning started silently from random weights")
def test_training_starts_from_the_given_encoder(
    training: ClassifyConfig, pretraining: PretrainConfig, data: Dataset, tmp_path: Path
) -> None:
    """Every encoder tensor is the file's, bit by bit; the head is new."""
    run = pretrain(pretraining, tmp_path / "run", progress=False, dataset=data)
    model = build_classifier(training, data)
    fresh = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    initialize(model, str(run), training.encoder, ImageFormat.plain((16, 16), 1, "uint8"))
    from unmask.weights.card import load_weights

    weights, _ = load_weights(run / "encoder.safetensors")
    head = head_names(model)
    assert head == {"fc.weight", "fc.bias"}
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, fresh[name] if name in head else weights[name]), name


@pytest.mark.case("fine-tuning started silently from random weights")
def test_a_wrong_encoder_is_refused(
    training: ClassifyConfig, pretraining: PretrainConfig, data: Dataset, tmp_path: Path
) -> None:
    """Another encoder, a missing tensor, a folder that is not a run: errors, never silent random weights."""
    run = pretrain(pretraining, tmp_path / "run", progress=False, dataset=data)
    other = replace(training, encoder=EncoderConfig(encoder="resnet18"), init=str(run))
    with pytest.raises(UserError, match="give the same encoder"):
        fit(other, data)
    from unmask.training.checkpoint import load_tensors, save_tensors

    tensors, _ = load_tensors(run / "encoder.safetensors")
    tensors.pop("layer1.0.conv1.weight")
    save_tensors(tmp_path / "cut.safetensors", tensors, {})
    with pytest.raises(UserError, match=r"lacks layer1\.0\.conv1\.weight"):
        fit(replace(training, init=str(tmp_path / "cut.safetensors")), data)
    with pytest.raises(UserError, match=r"holds no encoder\.safetensors"):
        fit(replace(training, init=str(tmp_path)), data)
    (tmp_path / "compared" / "pretrain" / "seed_0").mkdir(parents=True)
    with pytest.raises(UserError, match=r"of a comparison give one of its pretrainings, .*seed_0"):
        fit(replace(training, init=str(tmp_path / "compared")), data)


def test_what_is_wrong_with_a_teacher_is_said_of_the_teacher(
    pretraining: PretrainConfig, data: Dataset, tmp_path: Path
) -> None:
    """Other channels, and more stages than there are."""
    wide = build_model(pretraining.encoder, in_chans=7, image_size=(16, 16))
    seven = ImageFormat.plain((16, 16), 7, "uint8")
    card = Card(pretraining.encoder, seven)
    save_weights(tmp_path / "wide.safetensors", wide.state_dict(), card)
    target = replace(pretraining.recipe.target, target="frozen_teacher", teacher=str(tmp_path / "wide.safetensors"))
    config = replace(pretraining, recipe=replace(pretraining.recipe, target=target))
    with pytest.raises(UserError, match=r"^teacher: .* was trained on images of 7 channels, the data have 1"):
        pretrain(config, tmp_path / "run", progress=False, dataset=data)
    target = replace(pretraining.recipe.target, target="ema_teacher", teacher_stages=99)
    config = replace(pretraining, recipe=replace(pretraining.recipe, target=target))
    run = pretrain(config, tmp_path / "run", progress=False, dataset=data)
    notes = read_json(run / "environment.json")["notes"]
    assert "teacher_stages = 99: the teacher has 5 stages, the target uses them all" in notes


def test_scratch_refuses_weights(training: ClassifyConfig, data: Dataset, tmp_path: Path) -> None:
    """Dropping them silently would be another experiment than the one asked for."""
    with pytest.raises(UserError, match="use finetune"):
        scratch(replace(training, init="weights.safetensors"), tmp_path / "run", progress=False, dataset=data)


def test_a_model_with_two_heads_starts_from_an_encoder_without(tmp_path: Path, data: Dataset) -> None:
    """timm's distilled DeiT gives both heads as a tuple; both are new, all else is the file's."""
    options = {"patch_size": 4, "embed_dim": 24, "depth": 1, "num_heads": 2}
    config = EncoderConfig(encoder="deit_tiny_distilled_patch16_224", encoder_options=options)
    encoder = build_model(config, in_chans=1, image_size=(16, 16), seed=1)
    save_weights(tmp_path / "start.safetensors", encoder.state_dict(), Card(config, data.format))
    model = build_model(config, in_chans=1, image_size=(16, 16), num_classes=3)
    assert {name.split(".")[0] for name in head_names(model)} == {"head", "head_dist"}
    initialize(model, str(tmp_path / "start.safetensors"), config, ImageFormat.plain((16, 16), 1, "uint8"))
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_a_network_carries_the_normalization_of_its_start(
    training: ClassifyConfig, data: Dataset, tmp_path: Path
) -> None:
    """Training and evaluation see the images as the starting weights did, and the result's card says so."""
    start = build_classifier(training, data)
    own = replace(data.format, mean=(0.9,), std=(3.0,))
    save_weights(tmp_path / "start.safetensors", start.state_dict(), Card(training.encoder, own))
    config = replace(training, init=str(tmp_path / "start.safetensors"))
    outcome = fit(config, data)
    assert outcome.format == own
    assert outcome.outputs["test"].equal(fit(config, data.normalized_as(own)).outputs["test"])
    assert not outcome.outputs["test"].equal(fit(replace(config, normalization="data"), data).outputs["test"])
    tuned = finetune(config, tmp_path / "run", progress=False, dataset=data)
    model = load_model(tuned)
    assert model.card.format == own
    with torch.no_grad():
        logits = model.module(own.normalize(data.tests["test"].raw(range(4))))
    torch.testing.assert_close(logits, outcome.outputs["test"][:4], rtol=1e-4, atol=1e-5)

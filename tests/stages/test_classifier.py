"""Supervised training: fine-tuning and scratch are one code, subsets are honest, frozen is frozen."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import tiny
from unmask.batchnorm import batchnorm_layers, reestimate_batchnorm
from unmask.config import ClassifyConfig, DataConfig, EncoderConfig, PretrainConfig
from unmask.data.imageset import ImageSet
from unmask.data.load import Dataset, load_data
from unmask.encoders.build import build_model
from unmask.encoders.heads import head_names
from unmask.errors import UserError
from unmask.runs.files import read_json, write_json
from unmask.stages.classifier import build_classifier, labeled_subset
from unmask.stages.classify import finetune, scratch
from unmask.stages.pretrain import pretrain
from unmask.stages.provenance import origin_notes
from unmask.stages.supervised import Supervised, fit
from unmask.stages.supervised_loss import mixup
from unmask.training.engine import fast_layout
from unmask.training.stage import Setup


def test_same_seed_same_bits(training: ClassifyConfig, data: Dataset) -> None:
    """Metrics and logits of two trainings are bit-equal; another seed gives others."""
    one, two, other = (fit(replace(training, seed=seed), data) for seed in (0, 0, 1))
    assert one.metrics == two.metrics
    assert all(torch.equal(one.outputs[name], two.outputs[name]) for name in one.outputs)
    assert not torch.equal(one.outputs["test"], other.outputs["test"])


def test_finetuning_says_whether_the_test_was_seen(
    pretraining: PretrainConfig, training: ClassifyConfig, data: Dataset, tmp_path: Path
) -> None:
    """Nothing for the same split; other images, transductive runs and folders without a record are named."""
    run = pretrain(pretraining, tmp_path / "run", progress=False, dataset=data)
    assert origin_notes(run, data) == origin_notes(None, data) == origin_notes("timm:pretrained", data) == []
    (note,) = origin_notes(run, replace(data, fingerprint="other"))
    assert "may have seen the test" in note
    tuned = finetune(
        replace(training, init=str(run)), tmp_path / "tuned", progress=False, dataset=replace(data, fingerprint="other")
    )
    assert note in read_json(tuned / "environment.json")["notes"]
    config = read_json(run / "config.json")
    write_json(run / "config.json", config | {"data": config["data"] | {"transductive": True}})
    (note,) = origin_notes(run, data)
    assert "has seen the validation and test images" in note
    (run / "environment.json").unlink()
    (note,) = origin_notes(run, data)
    assert "unknown" in note


def test_subset_has_the_budget_of_every_class(training: ClassifyConfig, data: Dataset) -> None:
    """Exactly `budget` a class, nested over budgets, equal for all arms of a draw, other for another draw."""
    five = labeled_subset(training, data)
    assert five.labels.bincount().tolist() == [5, 5, 5]
    eight = labeled_subset(replace(training, budget=8), data)
    assert set(five.ids.tolist()) < set(eight.ids.tolist())
    other = labeled_subset(replace(training, subset_seed=1), data)
    assert set(other.ids.tolist()) != set(five.ids.tolist())
    with pytest.raises(UserError, match="budget"):
        labeled_subset(replace(training, budget=1000), data)


def test_head_steps_leave_the_encoder_alone(training: ClassifyConfig, data: Dataset, with_optimizer: Any) -> None:
    """After the head's phase and a zero encoder rate, the encoder's weights and statistics are the initial ones."""
    config = replace(training, recipe=replace(training.recipe, encoder_lr_scale=0.0))
    start = fast_layout(build_classifier(config, data))
    reestimate_batchnorm(start, data.pretrain)
    before = {name: tensor.clone() for name, tensor in start.state_dict().items()}
    after = fit(config, data).model.state_dict()
    head = head_names(start)
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]) == (name not in head), name


def test_reestimated_statistics_are_those_of_whole_images(training: ClassifyConfig, data: Dataset) -> None:
    """First BatchNorm of the net: mean and variance of its input over the images, from a hook."""
    model = build_classifier(training, data)
    seen: list[torch.Tensor] = []
    first = batchnorm_layers(model)[0]
    images = data.pretrain.raw(range(len(data.pretrain))).sub(data.format.mean[0]).div(data.format.std[0])
    handle = first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.eval()
    with torch.no_grad():
        model(images)
    handle.remove()
    assert reestimate_batchnorm(model, data.pretrain) == 60
    torch.testing.assert_close(first.running_mean, seen[0].mean((0, 2, 3)))
    torch.testing.assert_close(first.running_var, seen[0].var((0, 2, 3)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("count", [258, 400])
def test_reestimated_statistics_do_not_depend_on_order(training: ClassifyConfig, data: Dataset, count: int) -> None:
    """Images class by class, one more than fit a few batches: every layer's variance is near that of one batch."""
    digits = load_data(DataConfig(data="digits"), labels=True, progress=False)
    images = digits.pretrain.select(
        torch.argsort(digits.pretrain.labels, stable=True)[:: len(digits.pretrain) // count]
    )
    images = images.select(torch.arange(count))
    model = build_classifier(replace(training, data=DataConfig(data="digits")), digits)
    alike = copy.deepcopy(model)
    reestimate_batchnorm(model, images)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageSet, "at_once", 10_000)
        reestimate_batchnorm(alike, images)
    for one, whole in zip(batchnorm_layers(model), batchnorm_layers(alike), strict=True):
        assert one.running_var is not None
        assert whole.running_var is not None
        ratio = (one.running_var / whole.running_var).median()
        assert 0.97 < float(ratio) < 1.03


def test_loss_is_cross_entropy_with_smoothing(training: ClassifyConfig) -> None:
    """Soft targets with smoothing equal torch's hard-label form: mixup changes the targets, nothing else."""
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    soft = F.cross_entropy(logits, F.one_hot(labels, 3).float(), label_smoothing=0.1)
    assert float(soft) == pytest.approx(float(F.cross_entropy(logits, labels, label_smoothing=0.1)), rel=1e-6)


@pytest.mark.case("mixup failed on an odd batch")
def test_mixup_is_convex() -> None:
    """The same share for images and targets, targets still sum to one, an odd batch is handled."""
    images = torch.arange(5.0).reshape(5, 1, 1, 1)
    target = torch.eye(5)
    mixed, soft = mixup(images, target, 0.4, seed=3)
    share = soft[0, 0]
    torch.testing.assert_close(soft.sum(1), torch.ones(5))
    torch.testing.assert_close(mixed.flatten(), share * images.flatten() + (1 - share) * images.flatten().flip(0))


def test_early_stopping_keeps_the_best_state(training: ClassifyConfig, data: Dataset, with_optimizer: Any) -> None:
    """The validation accuracy reported at the end is the best of those followed."""
    recipe = replace(training.recipe, evaluations=6, patience=2)
    outcome = fit(with_optimizer(replace(training, recipe=recipe), steps=60, lr=3e-2), data)
    followed = [row.val_accuracy for row in outcome.history if row.val_accuracy is not None]
    assert followed
    assert outcome.metrics["val"].accuracy == pytest.approx(max(followed))


@pytest.mark.case("masking was left on at evaluation")
def test_hidden_cells_are_for_training_only(training: ClassifyConfig, data: Dataset) -> None:
    """The control hides cells in training, which changes it; its model is evaluated on whole images."""
    masked = fit(replace(training, hide_cells=0.75, hide_cell=4), data)
    plain = fit(training, data)
    weights = zip(masked.model.parameters(), plain.model.parameters(), strict=True)
    assert not any(torch.equal(one, other) for one, other in weights if one.ndim > 1)
    (batch,) = data.tests["test"].batches(torch.arange(30), 30)
    with torch.no_grad():
        torch.testing.assert_close(masked.model.eval()(batch.images), masked.outputs["test"])


@pytest.mark.parametrize("fixed", [{"freeze_batchnorm": True}, {"encoder_lr_scale": 0.0}])
def test_fixed_statistics_are_those_of_the_start(
    training: ClassifyConfig, data: Dataset, fixed: dict[str, Any]
) -> None:
    """Also where cells are hidden, whose statistics are otherwise measured on whole images after the training."""
    plain, hidden = (
        fit(replace(training, hide_cells=most, recipe=replace(training.recipe, **fixed)), data).model
        for most in (0.0, 0.5)
    )
    for one, other in zip(batchnorm_layers(plain), batchnorm_layers(hidden), strict=True):
        assert torch.equal(one.running_mean, other.running_mean)  # type: ignore[arg-type]
        assert torch.equal(one.running_var, other.running_var)  # type: ignore[arg-type]


def test_runs_have_results_and_weights(
    training: ClassifyConfig, pretraining: PretrainConfig, data: Dataset, tmp_path: Path
) -> None:
    """finetune and scratch write result.json with per-class table and confusion; finetune insists on weights."""
    run = pretrain(pretraining, tmp_path / "run", progress=False, dataset=data)
    tuned = finetune(replace(training, init=str(run)), tmp_path / "tuned", progress=False, dataset=data)
    fresh = scratch(training, tmp_path / "fresh", progress=False, dataset=data)
    for folder in (tuned, fresh):
        result = read_json(folder / "result.json")
        test = result["metrics"]["test"]
        assert len(test["per_class"]) == 3
        assert sum(n for _, _, n in test["confusion"]) == 30
        assert result["labeled_images"] == 15
    with pytest.raises(UserError, match="init"):
        finetune(training, tmp_path / "none", progress=False, dataset=data)


def test_early_stopping_restores_the_average(training: ClassifyConfig, data: Dataset, with_optimizer: Any) -> None:
    """With averaged weights, the state kept is that of the model whose accuracy was measured."""
    recipe = replace(training.recipe, evaluations=6, patience=2)
    outcome = fit(with_optimizer(replace(training, recipe=recipe), steps=60, lr=3e-2, ema=0.8), data)
    followed = [row.val_accuracy for row in outcome.history if row.val_accuracy is not None]
    assert outcome.metrics["val"].accuracy == pytest.approx(max(followed))


@pytest.mark.parametrize("encoder", ["efficientnet_lite0", "test_resnet"])
def test_no_head_begins_with_loud_noise(encoder: str, data: Dataset) -> None:
    """timm draws an EfficientNet's for a thousand classes; others are kept bit by bit."""
    config = ClassifyConfig(encoder=EncoderConfig(encoder=encoder))
    given = build_model(
        config.encoder, in_chans=1, image_size=(16, 16), num_classes=len(data.classes), seed=config.seed
    )
    ours = build_classifier(config, data).get_classifier().weight.detach()  # type: ignore[operator]
    theirs = given.get_classifier().weight.detach()  # type: ignore[operator]
    inputs = theirs.shape[1]
    assert float(ours.std()) == pytest.approx((3 * inputs) ** -0.5, rel=0.1)
    assert torch.equal(ours, theirs) == (encoder == "test_resnet")
    assert float(F.cosine_similarity(ours.flatten(), theirs.flatten(), 0)) == pytest.approx(1.0, abs=1e-5)


def test_a_layer_decay_that_does_nothing_is_said(
    training: ClassifyConfig, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of timm's caformer, which does not tell its layers; patchnet without its own stands in for it."""
    config = replace(training, encoder=tiny.PATCHNET, recipe=replace(training.recipe, layer_decay=0.5))

    def said(config: ClassifyConfig) -> bool:
        return any(
            "layer_decay = 0.5 has no effect" in note for note in Supervised(config, data, Setup.alone("no")).notes
        )

    assert not said(config)
    monkeypatch.delattr("unmask.encoders.patchnet.PatchNet.group_matcher")
    assert said(config)
    assert not said(training)

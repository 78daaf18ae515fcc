"""Unequal classes: weights of the loss, and early stopping by another score than accuracy."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.utils.class_weight import compute_class_weight

import tiny
from unmask.comparison.candidates import candidates
from unmask.config import ARMS, ClassifyConfig, ClassifyRecipe, CompareConfig, OptimizerConfig
from unmask.data.load import Dataset, load_data
from unmask.stages.supervised import Supervised
from unmask.tasks.classification import Classification
from unmask.training.stage import Setup


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Three classes, of whose training images the first has ten times as many as the others."""
    whole = load_data(tiny.DATA, labels=True, progress=False)
    assert whole.train is not None
    rows = [torch.nonzero(whole.train.labels == label).flatten()[: 20 if label == 0 else 2] for label in range(3)]
    return replace(whole, train=whole.train.select(torch.cat(rows)))


def test_weights_are_those_of_scikit_learn() -> None:
    """And 0 for a class without labels; their mean over the images is 1."""
    labels = torch.tensor([0] * 7 + [1] * 2 + [3])
    weights = Classification(classes=tuple("abcd")).balance(labels)
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=labels.numpy())
    assert weights[[0, 1, 3]].numpy() == pytest.approx(expected)
    assert weights[2] == 0
    assert float(weights[labels].mean()) == pytest.approx(1)


def test_the_loss_counts_an_image_by_its_class() -> None:
    """Without softening: the weight of the class times the cross-entropy."""
    logits, labels = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 2, 0])
    weights = torch.tensor([0.5, 2.0, 3.0])
    task = Classification(classes=tuple("abc"))
    total = task.loss(logits, task.target(labels), smoothing=0.0, balance=weights)
    each = F.cross_entropy(logits, labels, reduction="none")
    assert float(total) == pytest.approx(float((weights[labels] * each).sum()))


def _config(**fields: object) -> ClassifyConfig:
    recipe = ClassifyRecipe(optimizer=OptimizerConfig(steps=60, batch_size=12, lr=3e-3), evaluations=6, patience=6)
    return ClassifyConfig(data=tiny.DATA, encoder=tiny.OVERLAPPING_PATCHNET, recipe=recipe, **fields)  # type: ignore[arg-type]


def test_balanced_weights_find_the_rare_classes(data: Dataset) -> None:
    """After the same few steps the frequent class is predicted less often."""
    plain = _config()
    balanced = replace(plain, recipe=replace(plain.recipe, class_weights="balanced"))
    often = []
    for config in (plain, balanced):
        outcome = Supervised(config, data, Setup.alone("no")).train(splits=("test",))
        often.append(int((outcome.outputs["test"].argmax(1) == 0).sum()))
    assert often[1] < often[0], often


def test_early_stopping_keeps_the_best_by_its_metric(data: Dataset) -> None:
    """The network that is evaluated has the best score seen, not the best accuracy."""
    for metric in ("accuracy", "macro_f1"):
        stage = Supervised(_config(metric=metric), data, Setup.alone("no"))
        outcome = stage.train(splits=())
        assert getattr(outcome.metrics["val"], metric) == pytest.approx(stage.stopping.best)


def test_all_arms_weigh_alike() -> None:
    """Scratch candidates take the class weights of fine-tuning."""
    config = CompareConfig(finetune=ClassifyRecipe(class_weights="balanced"), scratch_candidates=(ClassifyRecipe(),))
    assert {one.class_weights for name in ("mrp", "scratch_best") for one in candidates(config, ARMS[name])} == {
        "balanced"
    }

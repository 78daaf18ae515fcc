"""Finished runs of a few steps on 16-pixel images: a CNN and the paper's encoder with heads, a ViT without."""

from dataclasses import replace
from pathlib import Path

import pytest

import tiny
from unmask.config import ClassifyConfig, ClassifyRecipe, OptimizerConfig, PretrainConfig
from unmask.data.load import Dataset, load_data
from unmask.stages.classify import scratch
from unmask.stages.pretrain import pretrain

DATA = tiny.multiview(30, 15, 18)
CNN = tiny.resnet(unstrided=0)


@pytest.fixture(scope="session")
def data() -> Dataset:
    """30 training images of 3 classes, 16 px, one channel."""
    return load_data(DATA, labels=True, progress=False)


@pytest.fixture(scope="session")
def training() -> ClassifyConfig:
    """Ten steps of the CNN from random weights."""
    optimizer = OptimizerConfig(steps=10, batch_size=10, lr=1e-2)
    return ClassifyConfig(data=DATA, encoder=CNN, recipe=ClassifyRecipe(optimizer=optimizer))


@pytest.fixture(scope="session")
def cnn_run(training: ClassifyConfig, data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet with a head; timm alone can build it."""
    return scratch(training, tmp_path_factory.mktemp("runs") / "cnn", progress=False, dataset=data)


@pytest.fixture(scope="session")
def unstrided_run(training: ClassifyConfig, data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with two strides taken out; timm alone cannot build it."""
    config = replace(training, encoder=replace(CNN, unstrided=2))
    return scratch(config, tmp_path_factory.mktemp("runs") / "unstrided", progress=False, dataset=data)


@pytest.fixture(scope="session")
def patchnet_run(training: ClassifyConfig, data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The paper's encoder with a head, trained and evaluated in bf16."""
    recipe = replace(training.recipe, optimizer=replace(training.recipe.optimizer, precision="bf16"))
    config = replace(training, encoder=tiny.PATCHNET, recipe=recipe)
    return scratch(config, tmp_path_factory.mktemp("runs") / "patchnet", progress=False, dataset=data)


@pytest.fixture(scope="session")
def vit_run(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pretrained ViT: no head."""
    config = PretrainConfig(data=DATA, encoder=tiny.VIT, recipe=tiny.pretrain_recipe(steps=3, batch_size=10))
    return pretrain(config, tmp_path_factory.mktemp("runs") / "vit", progress=False, dataset=data)

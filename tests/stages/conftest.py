"""A tiny data set and recipes that train in a second."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import tiny
from unmask.config import AugmentConfig, ClassifyConfig, ClassifyRecipe, OptimizerConfig, PretrainConfig
from unmask.data.load import Dataset, load_data

CNN = tiny.resnet(drop_path_rate=0.2)


@pytest.fixture(scope="session")
def data() -> Dataset:
    """60 training images of 3 classes, 16 px."""
    return load_data(tiny.DATA, labels=True, progress=False)


@pytest.fixture
def pretraining() -> PretrainConfig:
    """A ResNet with BatchNorm and stochastic depth, two epochs."""
    return PretrainConfig(
        data=tiny.DATA,
        encoder=CNN,
        recipe=tiny.pretrain_recipe(augment=AugmentConfig(shift=0.1), epochs=2, batch_size=16, lr=3e-3),
        save_every=0.5,
    )


@pytest.fixture
def training() -> ClassifyConfig:
    """Twelve steps on five labels per class."""
    return ClassifyConfig(
        data=tiny.DATA,
        encoder=CNN,
        recipe=ClassifyRecipe(optimizer=OptimizerConfig(steps=12, batch_size=8, lr=3e-3), head_steps=4),
        budget=5,
    )


@pytest.fixture
def with_optimizer() -> Callable[..., Any]:
    """A function: the configuration with other settings of its optimizer."""

    def change(config: Any, **changes: Any) -> Any:
        recipe = config.recipe
        return replace(config, recipe=replace(recipe, optimizer=replace(recipe.optimizer, **changes)))

    return change

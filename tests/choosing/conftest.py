"""A pretrained encoder, a classifier, and a folder of pictures without labels."""

from pathlib import Path

import pytest

import tiny
from unmask.config import ClassifyConfig, ClassifyRecipe, DataConfig, OptimizerConfig, PretrainConfig
from unmask.stages.classify import scratch
from unmask.stages.pretrain import pretrain

NAMES = [f"{index:02d}.png" for index in range(30)]
SMALL = (16, 16)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 pictures of 24 px without labels."""
    return tiny.draw(tmp_path_factory.mktemp("photos"), *NAMES)


@pytest.fixture(scope="session")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steps of pretraining on them, at 16 px."""
    data = DataConfig(data=str(photos), image_size=SMALL)
    config = PretrainConfig(data=data, encoder=tiny.RESNET, recipe=tiny.pretrain_recipe(steps=2, batch_size=8))
    return pretrain(config, tmp_path_factory.mktemp("runs") / "pretrained", progress=False)


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten steps on two classes of other pictures, at 16 px."""
    folder = tiny.draw(tmp_path_factory.mktemp("labeled"), *tiny.numbered("cat", "dog", count=10))
    recipe = ClassifyRecipe(optimizer=OptimizerConfig(steps=10, batch_size=8, lr=1e-2))
    data = DataConfig(data=str(folder), image_size=SMALL)
    config = ClassifyConfig(data=data, encoder=tiny.RESNET, recipe=recipe)
    return scratch(config, tmp_path_factory.mktemp("runs") / "classifier", progress=False)

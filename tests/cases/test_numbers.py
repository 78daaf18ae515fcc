"""Batches and the numbers that come out of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tiny import draw
from unmask.config import DataConfig, EncoderConfig, MaskConfig, OptimiserConfig, PretrainConfig, PretrainRecipe
from unmask.runs.metrics import Row, read_metrics
from unmask.stages.pretrain import pretrain

BASE = PretrainConfig(
    encoder=EncoderConfig(encoder="test_resnet"),
    recipe=PretrainRecipe(mask=MaskConfig(cell=32), optimizer=OptimiserConfig(epochs=2, batch_size=4)),
)


def _run(tmp_path: Path, images: int, batch_size: int) -> list[Row]:
    draw(tmp_path / "images", *(f"{index}.png" for index in range(images)), size=(64, 64), mode="L")
    optimizer = replace(BASE.recipe.optimizer, batch_size=batch_size)
    config = replace(
        BASE, data=DataConfig(data=str(tmp_path / "images")), recipe=replace(BASE.recipe, optimizer=optimizer)
    )
    return [row for row in read_metrics(pretrain(config, tmp_path / "run", progress=False)) if row.kind == "train"]


@pytest.mark.case("BatchNorm failed on a last batch of one image")
def test_no_batch_of_one_meets_batchnorm(tmp_path: Path) -> None:
    """9 images in batches of 4: three near equal batches an epoch, finite."""
    rows = _run(tmp_path, 9, 4)
    assert len(rows) == 6
    assert all(np.isfinite(row.loss) for row in rows)


@pytest.mark.case("fewer images than the batch trained nothing")
@pytest.mark.parametrize("images", [1, 3])
def test_fewer_images_than_the_batch_still_train(tmp_path: Path, images: int) -> None:
    """A step an epoch; a single image too."""
    assert len(_run(tmp_path, images, 8)) == 2

"""CASES 29 to 38: what went wrong elsewhere with numbers.

Tested elsewhere: 29 stages/test_pretrain (a loss or gradient that is not finite stops, the checkpoint before it stays),
30 targets/test_pixels (constant cells), 31 encoders/test_mixed_precision and stages/test_pretrain (bf16), 32
deploy/test_embed (float32 files), 33 stages/test_pretrain (a collapsed encoder says so) and evaluate/test_features, 34
targets/test_pixels (the baseline is the loss of the cells' means), 37 training/test_shares, 38 stages/test_classifier
(training starts from the given encoder; a wrong one is refused).
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unmask.config import DataConfig, EncoderConfig, MaskConfig, OptimiserConfig, PretrainConfig, PretrainRecipe
from unmask.runs.metrics import Row, read_metrics
from unmask.stages.pretrain import pretrain

BASE = PretrainConfig(
    encoder=EncoderConfig(encoder="test_resnet"),
    recipe=PretrainRecipe(mask=MaskConfig(cell=32), optimiser=OptimiserConfig(epochs=2, batch_size=4)),
)


def _run(tmp_path: Path, images: int, batch_size: int) -> list[Row]:
    (tmp_path / "images").mkdir()
    for index in range(images):
        pixels = np.random.default_rng(index).integers(0, 256, (64, 64), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{index}.png")
    optimiser = replace(BASE.recipe.optimiser, batch_size=batch_size)
    config = replace(
        BASE, data=DataConfig(data=str(tmp_path / "images")), recipe=replace(BASE.recipe, optimiser=optimiser)
    )
    return [row for row in read_metrics(pretrain(config, tmp_path / "run", progress=False)) if row.kind == "train"]


def test_35_no_batch_of_one_meets_batchnorm(tmp_path: Path) -> None:
    """9 images in batches of 4: three near equal batches an epoch, finite."""
    rows = _run(tmp_path, 9, 4)
    assert len(rows) == 6
    assert all(np.isfinite(row.loss) for row in rows)


@pytest.mark.parametrize("images", [1, 3])
def test_36_fewer_images_than_the_batch_still_train(tmp_path: Path, images: int) -> None:
    """A step an epoch; a single image too."""
    assert len(_run(tmp_path, images, 8)) == 2

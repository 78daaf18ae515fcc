"""CASES 51 to 55: what went wrong elsewhere with fine-tuning and evaluation.

Tested elsewhere: 51 training/test_optimiser (tokens are not decayed, smallest rate), 53 stages/test_classifier
(mixup of an odd batch) and evaluate/test_metrics (one class), 54 data/test_subsets (a class with too few images is
named), 55 deploy/test_export and deploy/test_predict (mean and deviation travel with the file).
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unmask.config import ClassifyConfig, ClassifyRecipe, DataConfig, EncoderConfig, OptimiserConfig
from unmask.data.load import load_data
from unmask.errors import UserError
from unmask.stages.classifier import build_classifier, fit
from unmask.stages.statistics import reestimate_batchnorm
from unmask.training.engine import fast_layout
from unmask.weights import head_names


def test_52_a_frozen_encoder_does_not_move(tmp_path: Path) -> None:
    """Weights and BatchNorm's statistics are bit-equal after a linear probe."""
    data_config = DataConfig(data="digits", image_size=(32, 32))
    recipe = ClassifyRecipe(optimiser=OptimiserConfig(steps=3, batch_size=8), encoder_lr_scale=0.0)
    config = ClassifyConfig(data=data_config, encoder=EncoderConfig(encoder="test_resnet"), recipe=recipe, budget=2)
    data = load_data(data_config, labels=True, progress=False)
    start = fast_layout(build_classifier(config, data))
    reestimate_batchnorm(start, data.pretrain, mean=data.mean, std=data.std)
    after = fit(config, data, splits=()).model.state_dict()
    head = head_names(start)
    assert all(torch.equal(t, after[name]) for name, t in start.state_dict().items() if name not in head)


def test_53_one_class_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "only").mkdir()
    for index in range(6):
        pixels = np.random.default_rng(index).integers(0, 256, (16, 16), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "only" / f"{index}.png")
    with pytest.raises(UserError, match="two or more"):
        load_data(DataConfig(data=str(tmp_path)), labels=True, progress=False)

"""Fine-tuning: what is frozen stays, what cannot be learned is refused."""

from pathlib import Path

import pytest
import torch

from tiny import draw, load, numbered
from unmask.batchnorm import reestimate_batchnorm
from unmask.config import ClassifyConfig, ClassifyRecipe, DataConfig, EncoderConfig, OptimizerConfig
from unmask.data.load import load_data
from unmask.encoders.heads import head_names
from unmask.errors import UserError
from unmask.stages.classifier import build_classifier
from unmask.stages.supervised import fit
from unmask.training.engine import fast_layout


@pytest.mark.case("statistics of frozen BatchNorm layers moved in a linear probe")
def test_a_frozen_encoder_does_not_move(tmp_path: Path) -> None:
    """Weights and BatchNorm's statistics are bit-equal after a linear probe."""
    data_config = DataConfig(data="digits", image_size=(32, 32))
    recipe = ClassifyRecipe(optimizer=OptimizerConfig(steps=3, batch_size=8), encoder_lr_scale=0.0)
    config = ClassifyConfig(data=data_config, encoder=EncoderConfig(encoder="test_resnet"), recipe=recipe, budget=2)
    data = load_data(data_config, labels=True, progress=False)
    start = fast_layout(build_classifier(config, data))
    reestimate_batchnorm(start, data.pretrain)
    after = fit(config, data, splits=()).model.state_dict()
    head = head_names(start)
    assert all(torch.equal(t, after[name]) for name, t in start.state_dict().items() if name not in head)


@pytest.mark.case("one class, or top-5 of three classes, failed deep in the training")
def test_one_class_is_refused_with_the_reason(tmp_path: Path) -> None:
    """Before anything is built."""
    with pytest.raises(UserError, match="two or more"):
        load(draw(tmp_path, *numbered("only")))

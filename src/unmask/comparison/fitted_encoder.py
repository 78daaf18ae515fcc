"""A pretrained encoder of a comparison, fitted to its images as the frozen trials fit it."""

from pathlib import Path

from torch import nn

from unmask.batchnorm import reestimate_batchnorm
from unmask.config import CompareConfig
from unmask.data.load import Dataset
from unmask.encoders.build import build_model
from unmask.training.engine import build_engine
from unmask.weights.start import initialize


def fitted_encoder(config: CompareConfig, run: Path, data: Dataset) -> tuple[nn.Module, Dataset]:
    """The encoder of a pretraining, on the engine's device in evaluation mode, and the images as it takes them.

    A given run may have seen images of another size, number type or range: its weights are adapted to these images,
    and its BatchNorm statistics are re-estimated on them.
    """
    format = data.format
    model = build_model(config.encoder, in_chans=format.channels, image_size=format.size)
    start = initialize(model, str(run), config.encoder, format, normalization=config.normalization, field="pretrained")
    data = data.normalized_as(start.format)
    model.to(build_engine("no").device)
    if not start.keeps_statistics:
        reestimate_batchnorm(model, data.pretrain)
    return model.eval(), data

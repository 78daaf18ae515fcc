"""The network whose features are used, and the images in the form that it takes."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from unmask.config import DataConfig, EncoderConfig
from unmask.data.load import Dataset, load_data
from unmask.data.sources.other_data import for_other_data
from unmask.deploy.images import load_as_trained
from unmask.deploy.trained import read_trained
from unmask.encoders.build import build_model
from unmask.encoders.heads import encoder_of
from unmask.errors import UserError
from unmask.tasks.kinds import AnyTask
from unmask.weights.network import load_model
from unmask.weights.public import OF_THE_ENCODER, TIMM, is_public_id
from unmask.weights.start import initialize

PUBLIC_SIZE = (224, 224)
"""Image size for public weights if none is given."""


@dataclass(frozen=True)
class Seen:
    """Images, and a network that takes them."""

    network: nn.Module
    """Of the package's kind: `forward_features`, `forward_head`."""
    images: Dataset
    data: DataConfig
    """How the images were read."""
    task: AnyTask | None
    """The task of the images if they show one, else of the network's head; None without either."""
    told: str = ""
    """Which network of a comparison it is; empty if there is no choice."""


def see(
    run: str,
    data: str | None,
    *,
    arm: str | None = None,
    image_size: tuple[int, int] | None = None,
    progress: bool = False,
) -> Seen:
    """A network and its images.

    Args:
        run: folder of a pretraining, a training or a comparison; a .safetensors file that this package wrote; or public
            weights, timm:NAME.
        data: what `DataConfig.data` takes. Default: the data of the run.
        image_size: height and width, for public weights only. Default: 224 x 224.

    Raises:
        UserError: no such network, or images that it cannot take.
    """
    if is_public_id(run):
        return _public(run, data, image_size or PUBLIC_SIZE, progress=progress)
    if image_size is not None:
        raise UserError(f"image_size = {image_size} has no effect: {run} records the image size it takes")
    if Path(run).is_dir():
        trained = read_trained(Path(run), arm)
        images = load_as_trained(trained, data, on_bad_file="skip", progress=progress)
        config = trained.data if data is None else for_other_data(trained.data, data)
        task = task_of(images) or trained.card.task
        return Seen(encoder_of(trained.model), images, config, task, trained.network)
    if data is None:
        raise UserError(f"data: required, {run} does not record the images it was trained on")
    model = load_model(run, field="run")
    wanted = DataConfig(data=data, on_bad_file="skip")
    images = load_data(wanted, labels=False, progress=progress, format=model.card.format)
    return Seen(encoder_of(model.module), images, wanted, task_of(images) or model.card.task)


def task_of(images: Dataset) -> AnyTask | None:
    """The task that the images' labels show; None if they have no labels."""
    return images.task if images.task is not None and images.task.names else None


def _public(run: str, data: str | None, size: tuple[int, int], *, progress: bool) -> Seen:
    """A network with public weights, without its head."""
    if not run.startswith(TIMM) or run == OF_THE_ENCODER:
        raise UserError(f"run = {run!r}: name the weights as timm:NAME, e.g. timm:resnet18.a1_in1k")
    if data is None:
        raise UserError(f"data: required, {run} does not record the images it was trained on")
    wanted = DataConfig(data=data, image_size=size, on_bad_file="skip")
    encoder = EncoderConfig(encoder=run.removeprefix(TIMM))
    images = load_data(wanted, labels=False, progress=progress)
    model = build_model(encoder, in_chans=images.format.channels, image_size=size)
    start = initialize(model, run, encoder, images.format, field="run")
    return Seen(model.eval(), images.normalized_as(start.format), wanted, task_of(images))

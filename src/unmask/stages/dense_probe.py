"""The linear probe for masks: a linear layer on the frozen maps of an encoder, fitted to the pixels of a few masks."""

from dataclasses import replace

import torch
from torch import Tensor

from unmask.batchnorm import reestimate_batchnorm
from unmask.config import ClassifyConfig
from unmask.data.imageset import ImageSet
from unmask.data.load import Dataset
from unmask.encoders.maps import feature_maps
from unmask.encoders.stages import evaluating
from unmask.evaluate.dense_features import PixelSample, pixels_each, sampled
from unmask.evaluate.probe import Probe, linear_probe
from unmask.forward import map_images
from unmask.segmenters import LinearHead, Segmenter
from unmask.stages.classifier import labeled_subset, require_task
from unmask.stages.supervised import Outcome
from unmask.tasks.segmentation import Segmentation
from unmask.training.stage import Setup
from unmask.weights.start import initialize


def fit_dense_probe(config: ClassifyConfig, data: Dataset) -> tuple[Outcome, Probe]:
    """Fit logistic regression to the features of a few thousand pixels and return the network with this linear head.

    A pixel's features are those of all maps, upsampled bilinearly. The strength is chosen by the mean Dice of pixels
    of the validation images. Public weights keep their BatchNorm statistics; for others they are re-estimated.
    """
    task = require_task(config, data)
    assert isinstance(task, Segmentation)
    task = replace(task, decoder="linear")
    network = task.network(config.encoder, channels=data.format.channels, size=data.format.size, seed=config.seed)
    assert isinstance(network, Segmenter)
    start = initialize(network.encoder, config.init, config.encoder, data.format, normalization=config.normalization)
    data = data.normalized_as(start.format)
    engine = Setup.alone("no").engine
    network.to(engine.device)
    if not start.keeps_statistics:
        reestimate_batchnorm(network, data.pretrain)
    train = labeled_subset(config, data)
    assert data.val is not None
    known, held_out = (_sample(network, images, config.seed) for images in (train, data.val))
    probe = linear_probe(
        known.features,
        known.labels,
        held_out.features[:1],
        classes=len(task.classes),
        val_features=held_out.features,
        val_labels=held_out.labels,
        metric="macro_f1",
        balanced=config.recipe.class_weights == "balanced",
    )
    assert isinstance(network.head, LinearHead)
    network.head.set(probe.weight.float(), probe.bias.float())
    outcome = Outcome(network, task, data.format, labeled=len(train))
    for name, images in {"val": data.val, **data.tests}.items():
        outputs = map_images(network, images, engine, readout=task.readout)
        outcome.outputs[name] = outputs.padded(len(images))
        outcome.metrics[name] = task.scores(outputs.values, outputs.images.labels)
    return outcome, probe


def _sample(network: Segmenter, images: ImageSet, seed: int) -> PixelSample:
    """Pixels of all images that have a mask, batch by batch."""
    device = next(network.parameters()).device

    def maps_of(batch: Tensor) -> list[Tensor]:
        return feature_maps(network.encoder, batch.to(device), network.read)

    count = pixels_each(len(images))
    with evaluating(network):
        found = [
            sampled(maps_of, batch.images, batch.labels, batch.ids, count=count, seed=seed)
            for batch in images.batches(torch.arange(len(images)), images.at_once, allow_empty=True)
            if len(batch.ids)
        ]
    return PixelSample(torch.cat([one.features for one in found]), torch.cat([one.labels for one in found]))

"""Supervised training of an encoder with a head. From scratch and fine-tuning are this one function."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import Tensor, nn

from unmask.config import ClassifyConfig
from unmask.data.imageset import ImageSet
from unmask.data.load import Dataset
from unmask.data.subsets import nested_subsets
from unmask.encoders.build import build_model
from unmask.errors import UserError
from unmask.evaluate.metrics import classification_metrics
from unmask.forward import map_images
from unmask.runs.records import Scores
from unmask.stages.loss import mixup
from unmask.stages.statistics import reestimate_batchnorm
from unmask.stages.trainer import Trainer
from unmask.training.engine import build_engine
from unmask.training.loop import OnStep
from unmask.training.sharding import whole
from unmask.weights import initialise

__all__ = ["Outcome", "build_classifier", "evaluate", "fit", "labelled_subset", "mixup", "prepare"]


@dataclass
class Outcome:
    """What a training gave: metrics and logits per split, the history of loss and validation accuracy, the model.

    A row of logits is NaN where the image could not be read; metrics are over the others.
    """

    model: nn.Module
    metrics: dict[str, Scores] = field(default_factory=dict)
    logits: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    labelled: int = 0
    seconds: float = 0.0


def labelled_subset(config: ClassifyConfig, data: Dataset) -> ImageSet:
    """The labelled training images: `budget` a class, nested over budgets, or all of them."""
    if data.train is None or len(data.classes) < 2:
        raise UserError(f"data: {config.data.data} has {len(data.classes)} labelled classes; training needs at least 2")
    if config.budget is None:
        return data.train
    drawn = nested_subsets(data.train.labels, [config.budget], config.subset_seed, data.groups, data.classes)
    return data.train.select(drawn[config.budget])


Prepared = tuple[nn.Module, list[str], ImageSet]


def prepare(config: ClassifyConfig, data: Dataset) -> Prepared:
    """The model with its start weights, notes on them, and the labelled subset: all that can be wrong is found here."""
    model = build_classifier(config, data)
    notes = initialise(model, config.init, config.encoder, channels=data.format.channels) if config.init else []
    return model, notes, labelled_subset(config, data)


def fit(
    config: ClassifyConfig,
    data: Dataset,
    *,
    splits: tuple[str, ...] | None = None,
    show: bool = False,
    prepared: Prepared | None = None,
    engine: Accelerator | None = None,
    folder: Path | None = None,
    resume: bool = False,
    sharded: bool = False,
    on_step: OnStep | None = None,
) -> Outcome:
    """Train on the labelled subset and evaluate on validation and the wanted test splits (default: all).

    Args:
        config: the schedule. `init` alone decides between fine-tuning and scratch.
        data: what `load_data(config.data, labels=True)` gave.
        splits: names among `data.tests`; () evaluates validation only.
        show: show a progress bar.
        prepared: what `prepare(config, data)` gave, where that was called before.
        engine: devices and processes, where that was built before.
        folder: run folder, where checkpoints and metrics.jsonl are kept while training lasts; none are without it.
        resume: go on from the newest checkpoint there.
        sharded: shard the network over the processes (see `unmask.training.sharding`); that of the outcome stays so.
        on_step: called after each step; see `unmask.pretrain`.

    Raises:
        UserError: a loss or gradient that is not finite.
        PreemptionError: SIGTERM came; with a folder the step then finished is saved.
    """
    started = time.monotonic()
    engine = engine or build_engine(config.recipe.optimiser.precision)
    model, notes, images = prepared if prepared is not None else prepare(config, data)
    trainer = Trainer(config, data, images, model, engine, folder=folder, show=show, sharded=sharded, on_step=on_step)
    trainer.train(resume=resume)
    best = trainer.best
    if config.hide_cells > 0:  # evaluated on whole images, as the pretrained arms are
        with whole(best), engine.autocast():
            reestimate_batchnorm(best, images)
    outcome = Outcome(best, history=trainer.history, notes=notes, labelled=len(images))
    evaluate(outcome, data, engine, splits=splits)
    outcome.seconds = trainer.seconds_before + time.monotonic() - started
    return outcome


def build_classifier(config: ClassifyConfig, data: Dataset) -> nn.Module:
    """Encoder and head with weights drawn from the seed."""
    return build_model(
        config.encoder,
        channels=data.format.channels,
        image_size=data.format.size,
        classes=len(data.classes),
        seed=config.seed,
    )


def evaluate(outcome: Outcome, data: Dataset, engine: Accelerator, *, splits: tuple[str, ...] | None) -> None:
    """Fill in metrics and logits of validation and the wanted test splits."""
    wanted = {name: images for name, images in data.tests.items() if splits is None or name in splits}
    if data.val is not None:
        wanted = {"val": data.val} | wanted
    for name, images in wanted.items():
        outputs = map_images(outcome.model, images, engine)
        outcome.logits[name] = outputs.padded(len(images))
        outcome.metrics[name] = classification_metrics(outputs.values, outputs.images.labels, data.classes)

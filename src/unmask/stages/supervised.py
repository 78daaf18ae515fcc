"""Supervised training of an encoder with a head: first the head alone, then everything, for scratch and fine-tuning."""

import math
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from unmask.batchnorm import batchnorm_layers, reestimate_batchnorm
from unmask.config import ClassifyConfig, ClassifyRecipe
from unmask.config.metric import SCORES, Metric, label_form
from unmask.data.augment import saturation_note
from unmask.data.decoding.image_format import ImageFormat
from unmask.data.imageset import Batch
from unmask.data.load import Dataset
from unmask.distributed import fail_together, on_main, world_size
from unmask.encoders.dense.joint import JointStatistics
from unmask.encoders.heads import encoder_of, head_names
from unmask.forward import map_images
from unmask.randomness import derive_seed
from unmask.runs.metrics import TrainingRow, rewrite_metrics
from unmask.runs.scores import Scores, value_of
from unmask.stages.classifier import build_classifier, labeled_subset, require_task
from unmask.stages.frozen_head import take_probe_where_better
from unmask.stages.gallery import Embedded, embed_images
from unmask.stages.supervised_loss import hide_cells, hiding_grid, mixup
from unmask.tasks.kinds import AnyTask
from unmask.training.optimizer import layer_scales
from unmask.training.run import TrainingRun
from unmask.training.stage import Moment, Phase, Reached, Setup
from unmask.training.step import Forward, Terms
from unmask.weights.start import initialize


@dataclass
class Outcome:
    """The outcome of a training: metrics and outputs per split, history of loss and validation accuracy, the model.

    A row of outputs is NaN if the image could not be read; metrics are over the others.
    """

    model: nn.Module
    task: AnyTask
    """The task, fitted to the labeled images."""
    format: ImageFormat
    """The format in which images reach the model."""
    metrics: dict[str, Scores] = field(default_factory=dict)
    outputs: dict[str, Tensor] = field(default_factory=dict)
    """See `Task.readout`."""
    history: list[TrainingRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    labeled: int = 0
    seconds: float = 0.0


def fit(
    config: ClassifyConfig, data: Dataset, *, splits: tuple[str, ...] | None = None, setup: Setup | None = None
) -> Outcome:
    """Train on the labeled subset and evaluate on validation and the requested test splits (default: all).

    Args:
        config: the schedule. Only `init` decides between fine-tuning and scratch.
        data: what `load_data(config.data, labels=True)` returned.
        splits: names among `data.tests`; () evaluates validation only.
        setup: devices, folder and callbacks; by default one process that keeps nothing.

    Raises:
        UserError: a loss or gradient that is not finite.
        PreemptionError: SIGTERM came; with a folder the step then finished is saved.
    """
    setup = setup or Setup.alone(config.recipe.optimizer.precision)
    return Supervised(config, data, setup).train(splits=splits)


class Supervised:
    """Supervised training as a stage: its loss, its evaluations on validation images, its outcome."""

    def __init__(self, config: ClassifyConfig, data: Dataset, setup: Setup) -> None:
        """Build the model with its start weights, and choose its labeled images: errors are found here."""
        self.config, self.data = config, data
        with fail_together():
            model = build_classifier(config, data)
            self.start = initialize(
                encoder_of(model), config.init, config.encoder, data.format, normalization=config.normalization
            )
            self.data = data = data.normalized_as(self.start.format)
            colors = saturation_note(config.recipe.augment, data.format.channels)
            idle = [*_decay_note(config, model), *_patience_note(config, data), *_smoothing_note(config, data)]
            self.notes = [*self.start.notes, *idle, *colors]
            self.images = labeled_subset(config, data)
            self.grid = hiding_grid(config, data, model)
        self.task = require_task(config, data).fitted(self.images.labels)
        balanced = config.recipe.class_weights == "balanced"
        self.balance = self.task.balance(self.images.labels) if balanced else None
        two = torch.arange(2)
        self.run = TrainingRun(
            setup,
            model,
            lambda: model(next(iter(self.images.batches(two, 2))).images),
            optimizer=config.recipe.optimizer,
            images=len(self.images),
        )
        self.history: list[TrainingRow] = []
        self.stopping = EarlyStopping(config.recipe.patience)

    def train(self, *, resume: bool = False, splits: tuple[str, ...] | None = None) -> Outcome:
        """Run both phases, from the newest checkpoint if one is to be resumed; then evaluate."""
        run, frozen = self.run, self.config.recipe.encoder_lr_scale == 0
        if frozen and not self.start.keeps_statistics:
            self._reestimate(run.network, self.data.pretrain)
        self._remember(resume=resume)
        run.network.train(not frozen)  # a frozen encoder's running statistics stay fixed too
        if self.config.recipe.freeze_batchnorm:
            for layer in batchnorm_layers(run.network):
                layer.eval()
        for phase in self._phases():
            run.fit(self.images, phase, self)
        best = run.best()
        moved = not frozen and not self.config.recipe.freeze_batchnorm
        if self.config.hide_cells > 0 and moved:  # evaluated on whole images, as the pretrained arms are
            self._reestimate(best, self.images)
        notes = self.notes
        if self.data.val is not None:
            notes = [*notes, *self.stopping.notes(self.config.metric)]
        if frozen and self.data.val is not None and not run.setup.sharded:
            val = self.data.val
            notes = [*notes, *take_probe_where_better(best, self.task, self.config, self.images, val, run.engine)]
        outcome = Outcome(
            best, self.task, self.data.format, history=self.history, notes=notes, labeled=len(self.images)
        )
        wanted = {name: images for name, images in self.data.tests.items() if splits is None or name in splits}
        if self.data.val is not None:
            wanted = {"val": self.data.val} | wanted
        for name, images in wanted.items():
            outputs = map_images(best, images, run.engine, readout=self.task.readout)
            outcome.outputs[name] = outputs.padded(len(images))
            outcome.metrics[name] = self.task.scores(outputs.values, outputs.images.labels)
        outcome.seconds = run.seconds
        return outcome

    def embed(self, network: nn.Module) -> Embedded | None:
        """The trained network's gallery on the first test set, if there is one. All processes call it."""
        images = next(iter(self.data.tests.values()), None)
        if images is None:
            return None
        return embed_images(network, images, self.run.engine, outputs=len(self.task.names))

    def _phases(self) -> list[Phase]:
        """The phases: the head alone, if it has its own steps, and everything."""
        config, recipe = self.config, self.config.recipe
        head, layers = head_names(self.run.network), layer_scales(self.run.network, recipe.layer_decay)
        everything = Phase(
            "all",
            recipe.optimizer,
            recipe.augment,
            derive_seed(config.seed, "all"),
            save_every=config.save_steps,
            look_every=self.run.plan.total / recipe.evaluations if recipe.evaluations > 1 else math.inf,
            scale_of=lambda name: 1.0 if name in head else recipe.encoder_lr_scale * layers[name],
            before=recipe.head_steps,
        )
        if recipe.head_steps == 0:
            return [everything]
        head_alone = replace(
            everything,
            name="head",
            optimizer=replace(recipe.optimizer.for_steps(recipe.head_steps), lr=recipe.head_lr),
            seed=derive_seed(config.seed, "head"),
            look_every=math.inf,
            scale_of=lambda name: 1.0 if name in head else 0.0,
            averaged=False,
            before=0,
            final=False,
        )
        return [head_alone, everything]

    def _reestimate(self, network: nn.Module, images: Any) -> None:
        with self.run.whole(network), self.run.engine.autocast():
            reestimate_batchnorm(network, images)

    def _remember(self, *, resume: bool) -> None:
        """Restore the training's progress from the newest checkpoint; metrics.jsonl is cut to match."""
        header = self.run.resume() if resume else None
        if header is not None:
            self.history = list(header.history)
            self.stopping.best, self.stopping.waited = header.best
        folder = self.run.setup.folder
        if folder is not None:
            on_main(lambda: rewrite_metrics(folder, self.history))

    def losses(self, network: Any, batch: Batch, at: Moment) -> list[Forward]:
        """One: the task's."""
        return [lambda: self._loss(network, batch, at)]

    def _loss(self, network: Any, batch: Batch, at: Moment) -> Terms:
        """The task's loss of a batch, with cells hidden and images mixed if the recipe says so."""
        recipe, images = self.config.recipe, batch.images
        if self.grid is not None:
            images = hide_cells(images, batch.ids, self.grid, self.config.hide_cells, seed=at.seed, step=at.step)
        target = self.task.target(batch.labels)
        if recipe.mixup > 0:
            images, target = mixup(images, target, recipe.mixup, derive_seed(at.seed, "mixup", at.step))
        with JointStatistics() if world_size() > 1 else nullcontext():
            outputs = network(images)
        balance = None if self.balance is None else self.balance.to(outputs.device)
        total = self.task.loss(outputs, target, smoothing=recipe.label_smoothing, balance=balance)
        return Terms(total, torch.tensor(float(len(batch.ids)), device=total.device), {})

    def follow(self, done: int, total: int) -> None:
        """Does nothing: nothing follows the network."""

    def report(self, reached: Reached) -> bool:
        """Log the last step's row, with the validation score if an evaluation is due; whether to continue."""
        if not reached.log:
            return True
        row, go_on = replace(reached.rows[-1], phase=reached.phase.name), True
        if reached.look and self.data.val is not None:
            outputs = map_images(self.run.evaluated, self.data.val, self.run.engine, readout=self.task.readout)
            labels, first = outputs.images.labels, self.task.metric
            score, metric = self.task.score_of(outputs.values, labels), self.config.metric
            row = replace(row, val_accuracy=score) if first == "accuracy" else replace(row, val_score=score)
            if metric != first:
                score = value_of(self.task.scores(outputs.values, labels), metric)
            if self.stopping.improves(SCORES[metric].merit(score)):
                self.run.remember_best()
            go_on = reached.last or not self.stopping.over
        self.history.append(row)
        self.run.log(row, tracked=reached.phase.before + reached.step)
        return go_on

    def facts(self) -> dict[str, Any]:
        """History and early stopping."""
        return {"history": tuple(self.history), "best": (self.stopping.best, self.stopping.waited)}


def _decay_note(config: ClassifyConfig, model: nn.Module) -> list[str]:
    """A note if the layers by which rates should decay are unknown."""
    decay = config.recipe.layer_decay
    if decay == 1 or any(scale != 1 for scale in layer_scales(model, decay).values()):
        return []
    return [f"layer_decay = {decay:g} has no effect: timm does not report the layers of {config.encoder.encoder}"]


def _patience_note(config: ClassifyConfig, data: Dataset) -> list[str]:
    """A note if training should stop early but has no images to tell when."""
    patience = config.recipe.patience
    if patience == 0 or data.val is not None:
        return []
    return [f"`patience={patience}` has no effect: there are no validation images"]


def _smoothing_note(config: ClassifyConfig, data: Dataset) -> list[str]:
    """A note if targets should be smoothed, more or less than by default, that are numbers."""
    smoothing = config.recipe.label_smoothing
    if smoothing in (0, ClassifyRecipe.label_smoothing) or data.task is None or label_form(data.task.name) != "numbers":
        return []
    return [f"`label_smoothing={smoothing:g}` has no effect: numbers have no classes"]


@dataclass
class EarlyStopping:
    """Ends a training whose validation score has not improved in the last `patience` evaluations; never with 0."""

    patience: int
    best: float | None = None
    waited: int = 0
    """Evaluations since the best one."""

    def improves(self, merit: float) -> bool:
        """Whether a score, turned so that more is better, is the best so far; False throughout without patience.

        A score that is undefined (-inf) is never the best; it counts as waited for only after one that was defined.
        """
        if self.patience == 0 or (self.best is None and merit == -math.inf):
            return False
        better = self.best is None or merit > self.best
        self.best, self.waited = (merit, 0) if better else (self.best, self.waited + 1)
        return better

    @property
    def over(self) -> bool:
        """Whether to stop."""
        return 0 < self.patience <= self.waited

    def notes(self, metric: Metric) -> list[str]:
        """A note after a training in which no evaluation on validation images had a score."""
        if self.patience == 0 or self.best is not None:
            return []
        title = SCORES[metric].title
        return [f"`patience={self.patience}` had no effect: {title} was undefined on the validation images throughout"]

"""Mask-reconstruction pretraining: hide cells, reconstruct them, keep the encoder."""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from unmask.batchnorm import reestimate_batchnorm
from unmask.config import PretrainConfig
from unmask.data.augment import saturation_note
from unmask.data.imageset import Batch
from unmask.data.load import Dataset
from unmask.data.sources.torch_dataset import Given
from unmask.data.subsets import spread_over_classes
from unmask.distributed import fail_together, is_main, on_main, world_size
from unmask.encoders.sizes import grid_of
from unmask.masking import draw_masks, draw_predicted, mask_seed
from unmask.runs.environment import describe_environment
from unmask.runs.files import write_json
from unmask.runs.layout import ENCODER_FILE, ENVIRONMENT_FILE, PICTURES
from unmask.runs.metrics import ValidationRow, read_metrics, rewind_metrics
from unmask.runs.records import DataFacts
from unmask.stages.early_checks import check_encoder, check_start
from unmask.stages.monitor import observe, watched_batch
from unmask.stages.pictures import save_picture, to_display
from unmask.stages.pretraining_quality import cells_note, quality_notes
from unmask.stages.reconstructor import Reconstructor, build_reconstructor
from unmask.targets.pixels import paint
from unmask.targets.target import PixelTarget, TeacherTarget, Truth, truth_of
from unmask.training.open_run import BeforeWork, open_run
from unmask.training.run import TrainingRun
from unmask.training.stage import Moment, Phase, Reached, Setup
from unmask.training.step import Forward, OnStep, Terms
from unmask.weights.card import Card, save_weights
from unmask.weights.start import initialize

_PICTURED = 8
_LOOKS, _SPARSE = 20, 100
"""For short epochs: checkpoints and evaluations of a training, and the most steps between two of them."""


def pretrain(
    config: PretrainConfig,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    dataset: Dataset | Given | None = None,
    on_step: OnStep | None = None,
    before: BeforeWork[PretrainConfig] | None = None,
) -> Path:
    """Pretrain an encoder and return its run folder; see `unmask.pretrain`.

    `before` is called with configuration and data before the folder is touched; an exception it raises ends the run.
    """
    check_start(config.init)
    cell, recipe = config.recipe.mask.cell, config.recipe
    check_encoder(config.encoder, config.data, masked=True, cell=cell, execution=config.execution, recipe=recipe)
    setup = Setup.of_run(config, out, progress=progress, on_step=on_step)
    with open_run(config, out, dataset, labels=False, resume=resume, overwrite=overwrite, progress=progress) as opened:
        stage = Pretraining(opened.config, out, opened.data, setup)
        resumed = opened.claim(before)
        if resumed and opened.is_finished:
            return out
        opened.tell(stage.notes)
        with stage.run.tracked(opened.config):
            stage.train(resume=resumed)
        opened.tell(stage.verdict)
    return out


class Pretraining:
    """Masked reconstruction as a stage of training: its loss, its evaluations, its export."""

    def __init__(self, config: PretrainConfig, out: Path, data: Dataset, setup: Setup) -> None:
        """Build network and target: all errors are found here, and nothing is written."""
        self.config, self.out, self.data = config, out, data
        with fail_together():
            self._sizes, self._ratios = config.recipe.sizes(data.format.size), config.recipe.mask.ratios
            network, self.target = build_reconstructor(config, data.format)
            why = getattr(network.encoder, "note", None)
            execution = f"hidden cells: {network.encoder.execution} execution" + (f" ({why})" if why else "")
            odd = [*cells_note(network.encoder.grid), *saturation_note(config.recipe.augment, data.format.channels)]
            self.notes = [*data.notes, execution, *odd]
            start = initialize(
                network.model, config.init, config.encoder, data.format, normalization=config.normalization
            )
            self.notes += start.notes
            self.data = data = data.normalized_as(start.format)
            batch, hidden = watched_batch(config, data, network.encoder.grid)
        if isinstance(self.target, TeacherTarget):
            self.target.begin(network.model, setup.engine.device, data.format)
            self.notes += self.target.notes
        self.run: TrainingRun[Reconstructor] = TrainingRun(
            setup,
            network,
            lambda: network(batch.images[:2], hidden[:2]),
            optimizer=config.recipe.optimizer,
            images=len(data.pretrain),
            followers=self.target.modules(),
        )
        self.watched = batch.to(setup.engine.device), hidden.to(setup.engine.device)
        self.pictured = (
            spread_over_classes(batch.labels if batch.labels.ndim == 1 else batch.ids * 0, _PICTURED).sort().values
        )
        self.notes += self.run.notes
        self.verdict: list[str] = []

    def train(self, *, resume: bool = False) -> None:
        """Train from the newest checkpoint, or from the start, to the end; then export the encoder."""
        start = 0
        if resume:
            header = self.run.resume()
            start = 0 if header is None else header.step
            # the evaluation before the first step is repeated too
            on_main(lambda: rewind_metrics(self.out, start or -1))
        on_main(self._describe)
        if start == 0:
            self.look(0)
        self.run.fit(self.data.pretrain, self.phase(), self)
        self._export()
        self.verdict = on_main(lambda: quality_notes(read_metrics(self.out)))
        self.notes += self.verdict
        on_main(self._describe)

    def phase(self) -> Phase:
        """Its one phase."""
        config, plan = self.config, self.run.plan
        usual = max(plan.per_epoch, min(plan.total / _LOOKS, _SPARSE))
        return Phase(
            "pretrain",
            config.recipe.optimizer,
            config.recipe.augment,
            config.seed,
            save_every=usual if config.save_every is None else config.save_every * plan.per_epoch,
            look_every=usual if config.picture_every is None else config.picture_every * plan.per_epoch,
        )

    def losses(self, network: Any, batch: Batch, at: Moment) -> list[Forward]:
        """The reconstruction of hidden cells, or a share of them, drawn anew in every epoch: one loss for each mask."""
        batch = batch.resized(self._sizes.at(at.step, self.run.plan.total))
        with self.run.whole():
            truth = truth_of(self.target, batch.images, batch.valid)
        seeds = [mask_seed(at.seed, index) for index in range(self.config.recipe.mask.masks)]
        return [partial(self._loss, network, batch, truth, at._replace(seed=seed)) for seed in seeds]

    def _loss(self, network: Any, batch: Batch, truth: Truth, at: Moment) -> Terms:
        """The loss with one mask for each image, beside its baseline's."""
        recipe, grid = self.config.recipe, grid_of(batch.images, self.run.network.encoder.cell)
        keys: dict[str, Any] = {"seed": at.seed, "epoch": at.epoch, "ids": batch.ids.numpy()}
        ratio = self._ratios.at(at.step, self.run.plan.total)
        hidden = draw_masks(recipe.mask.at_ratio(ratio), grid, **keys).to(batch.images.device)
        some = recipe.target.predict < 1
        wanted = draw_predicted(hidden, recipe.target.predict, **keys) if some else None
        prediction = network(batch.images, hidden, wanted)
        loss = truth.loss(prediction, hidden if wanted is None else wanted, recipe.target.loss)
        return Terms(loss.total, loss.number, {"baseline": loss.baseline})

    def follow(self, done: int, total: int) -> None:
        """Move the teacher."""
        self.target.after_step(self.run.network.model, done, total)

    def report(self, reached: Reached) -> bool:
        """Log every step; evaluate when due, and at the end."""
        for row in reached.rows:
            self.run.log(replace(row, epoch=row.step / self.run.plan.per_epoch))
        if reached.look or reached.last:
            self.look(reached.step)
        return True

    def facts(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def _describe(self) -> None:
        """environment.json."""
        facts = describe_environment(
            data=DataFacts(
                fingerprint=self.data.fingerprint, images=len(self.data.pretrain), channels=self.data.format.channels
            ),
            steps=self.run.plan.total,
            batch_size=self.run.plan.batch_size,
            processes=world_size(),
            seconds=self.run.seconds,
            notes=tuple(self.notes),
            bad_files=self.data.bad_files,
        )
        write_json(self.out / ENVIRONMENT_FILE, facts)

    def look(self, done: int) -> None:
        """Validation loss, collapse monitors and a picture, on the fixed batch with its fixed masks.

        Every process computes it (a teacher's BatchNorm takes statistics over all of them), the main one writes it.
        """
        batch, hidden = self.watched
        network, wanted = self.run.evaluated, self.config.recipe.target
        with self.run.whole(network):
            seen = observe(network, self.target, batch, hidden, wanted=wanted, engine=self.run.engine)
        row = ValidationRow(step=done, epoch=done / self.run.plan.per_epoch, **seen.values)
        self.run.log(row)
        if row.collapsed and is_main():
            tqdm.write(
                f"step {done}: the encoder has collapsed (effective rank {row.effective_rank:.2f}, feature "
                f"deviation {row.feature_std:.2g}): all images look alike to it; lower lr, raise "
                "teacher_momentum, or reconstruct pixels",
                file=sys.stderr,
            )
        pixels = self.target
        if isinstance(pixels, PixelTarget):
            shown = batch.images[self.pictured], seen.prediction[self.pictured], hidden[self.pictured]
            on_main(lambda: self._picture(done, *shown, pixels))

    def _picture(self, done: int, images: Tensor, prediction: Tensor, hidden: Tensor, target: PixelTarget) -> None:
        masked, filled = paint(images, prediction, hidden, target.cell, normalized=target.normalized)
        rows = [to_display(x, self.data.format) for x in (images, masked, filled)]
        save_picture(PICTURES.path(self.out, done), rows)

    def _export(self) -> None:
        network = self.run.best()
        with self.run.whole(network):
            reestimate_batchnorm(network.model, self.data.pretrain)
        state, card = self.run.state_of(network.model), Card(self.config.encoder, self.data.format)
        on_main(lambda: save_weights(self.out / ENCODER_FILE, state, card))

"""Mask-reconstruction pretraining: hide cells, reconstruct them, keep the encoder."""

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import cast

from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

from unmask.config import PretrainConfig
from unmask.data.given import Given
from unmask.data.imageset import Batch
from unmask.data.load import Dataset, load_data, name_given
from unmask.distributed import fail_together, on_main, require_alike
from unmask.masking import draw_masks
from unmask.runs.environment import describe_environment
from unmask.runs.files import write_json
from unmask.runs.folder import check_folder, claim_folder, require_same_data
from unmask.runs.layout import ENCODER_FILE, ENVIRONMENT_FILE, PICTURES
from unmask.runs.metrics import rewind_metrics
from unmask.runs.records import DataFacts
from unmask.stages.monitor import observe, watched_batch
from unmask.stages.pictures import save_picture, to_display
from unmask.stages.reconstructor import Reconstructor, build_reconstructor
from unmask.stages.statistics import reestimate_batchnorm
from unmask.targets.pixels import hidden_loss, paint
from unmask.targets.target import PixelTarget, TeacherTarget
from unmask.training.engine import build_engine, effective_lr, freeze, unwrap
from unmask.training.join import join
from unmask.training.keeper import Keeper, due, restore
from unmask.training.launch import peers_may_end
from unmask.training.loop import OnStep, Plan, Progress, Terms, drain, run_steps, training_batches
from unmask.training.optimiser import build_optimiser, parameter_groups, plan_steps
from unmask.training.sharding import gathered_by_main, note_of, shard, wants_sharding, whole
from unmask.training.tracking import end_tracker, start_tracker
from unmask.weights import card_of, initialise, save_weights

_PICTURED = 8


def pretrain(
    config: PretrainConfig,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    dataset: Dataset | Given | None = None,
    on_step: OnStep | None = None,
) -> Path:
    """Pretrain an encoder and return its run folder.

    The encoder sees visible cells only; the loss is over hidden ones:
    L = Σ_{hidden cells} ‖decoder(encoder(visible)) - target‖² / (D · number of hidden cells) (He et al. 2022, eq. in
    section 3; targets by `config.recipe.target`).

    Args:
        config: everything that determines the result.
        out: run folder; see `unmask.runs`.
        resume: continue an interrupted run of the same configuration, bit-equal to one never stopped (CPU).
        overwrite: replace an existing run.
        progress: show a bar with the time left.
        dataset: in place of what `config.data` names: a torch Dataset, several by split, or what `load_data` gave.
        on_step: called in every process after each optimizer step, when that is logged and saved; what it raises ends
            the run, which `resume` continues from its newest checkpoint.

    Raises:
        UserError: any bad input, before training starts; or a loss that is not finite.
        PreemptionError: SIGTERM came; a checkpoint of the step then finished is saved.
    """
    config = replace(config, data=name_given(config.data, dataset))
    optimiser = config.recipe.optimiser
    engine = build_engine(optimiser.precision, tracker=config.tracker, folder=out, several=True)
    with peers_may_end():
        on_main(lambda: check_folder(out, config, resume=resume, overwrite=overwrite))
        progress = progress and engine.is_main_process
        with fail_together():
            sharded = wants_sharding(config.shard, optimiser.precision)
            data = load_data(config.data, labels=False, progress=progress, given=dataset)
        require_alike(f"data: what {config.data.data} holds", data.fingerprint)
        session = Session(config, out, data, show=progress, engine=engine, sharded=sharded, on_step=on_step)
        resumed = on_main(lambda: _claim(config, out, data, resume=resume, overwrite=overwrite))
        if resumed and on_main(lambda: (out / ENCODER_FILE).exists()):
            return out
        start_tracker(engine, out, config)
        try:
            session.run(resumed)
        finally:
            end_tracker(engine)
    return out


def _claim(config: PretrainConfig, out: Path, data: Dataset, *, resume: bool, overwrite: bool) -> bool:
    """Make the folder ready; whether an earlier run of the same data is continued."""
    resumed = claim_folder(out, config, resume=resume, overwrite=overwrite)
    if resumed:
        require_same_data(out, data.fingerprint)
    return resumed


class Session:
    """The state of one pretraining: networks, optimiser, and where they are written."""

    def __init__(
        self,
        config: PretrainConfig,
        out: Path,
        data: Dataset,
        *,
        show: bool,
        engine: Accelerator | None = None,
        sharded: bool = False,
        on_step: OnStep | None = None,
    ) -> None:
        self.config, self.out, self.data, self.show, self.on_step = config, out, data, show, on_step
        optimiser = config.recipe.optimiser
        self.engine = engine or build_engine(optimiser.precision, tracker=config.tracker, folder=out)
        with fail_together():
            channels, size = data.format.channels, data.format.size
            network, self.target = build_reconstructor(config, channels=channels, image_size=size)
            why = getattr(network.encoder, "note", None)
            execution = f"hidden cells: {network.encoder.execution} execution" + (f" ({why})" if why else "")
            self.notes = [*data.notes, execution]
            if config.init is not None:
                self.notes += initialise(network.model, config.init, config.encoder, channels=channels)
            self.plan = Plan(*plan_steps(optimiser, len(data.pretrain), self.engine.num_processes))
            self.watched = watched_batch(config, data, network.encoder.grid)
        self.notes.append(effective_lr(optimiser, batch=self.plan.batch_size, processes=self.engine.num_processes))
        if isinstance(self.target, TeacherTarget):
            self.notes += self.target.notes
            self.target.begin(network.model, self.engine.device)
        self.notes += [note_of(self.engine)] if sharded else []
        self._join(network, sharded)
        self.keeper = Keeper(self.engine, out, config.keep, self.plan.batch_size)
        self._started, self._seconds_before = time.monotonic(), 0.0

    def _join(self, network: Reconstructor, sharded: bool) -> None:
        """Bring the network to where it is trained, with its optimiser and what follows it."""
        engine, optimiser = self.engine, self.config.recipe.optimiser
        images, hidden = (t[:2] for t in self.watched)
        self.watched = self.watched[0].to(engine.device), self.watched[1].to(engine.device)
        self.average, unused = join(
            engine, network, lambda: network(images, hidden), momentum=optimiser.ema, sharded=sharded
        )
        for follower in self.target.modules().values() if sharded else ():
            shard(follower, engine)
        groups = parameter_groups(network, weight_decay=optimiser.weight_decay)
        self.optimiser = engine.prepare_optimizer(build_optimiser(optimiser, groups))
        freeze(network, unused)
        self.network = network if sharded else engine.prepare_model(network)

    @property
    def plain(self) -> Reconstructor:
        """The network without the engine's wrappers."""
        return unwrap(self.engine, self.network)

    @property
    def best(self) -> Reconstructor:
        """The network that is evaluated and exported: the averaged one where there is one."""
        return self.plain if self.average is None else cast(Reconstructor, self.average.module)

    def run(self, resumed: bool) -> None:
        """Train from the newest checkpoint, or from the start, to the end; then export the encoder."""
        progress = Progress()
        if resumed:
            progress.step = self._restore()
            # the look before the first step is taken again too
            on_main(lambda: rewind_metrics(self.out, progress.step or -1))
        on_main(self._describe)
        if self.show:
            for note in self.notes:
                tqdm.write(f"note: {note}", file=sys.stderr)
        if progress.step == 0:
            self._observe(0)
        stream = training_batches(
            self.data.pretrain,
            self.plan,
            augment=self.config.recipe.augment,
            seed=self.config.seed,
            start=progress.step,
            engine=self.engine,
        )
        run_steps(
            stream,
            engine=self.engine,
            network=self.network,
            optimiser=self.optimiser,
            config=self.config.recipe.optimiser,
            plan=self.plan,
            seed=self.config.seed,
            loss=self._loss,
            after_step=self._after_step,
            progress=progress,
            phase="pretrain",
            show=self.show,
            on_step=self.on_step,
        )
        self._export()
        on_main(self._describe)

    def _loss(self, batch: Batch, step: int) -> Terms:
        epoch = self.plan.epoch_of(step)
        grid = self.plain.encoder.grid
        hidden = draw_masks(self.config.recipe.mask, grid, seed=self.config.seed, epoch=epoch, ids=batch.ids.numpy())
        hidden = hidden.to(batch.images.device)
        prediction = self.network(batch.images, hidden)
        with whole(*self.target.modules().values()):
            target = self.target(batch.images)
        loss = hidden_loss(prediction, target, self.target.flat(target), hidden, kind=self.config.recipe.target.loss)
        return Terms(loss.total, loss.number, {"baseline": loss.baseline})

    def _after_step(self, done: int, progress: Progress) -> bool:
        if self.average is not None:
            self.average.update_parameters(self.plain)
        self.target.after_step(self.plain.model, done, self.plan.total)
        last = done == self.plan.total
        save = last or progress.stop or due(done, self.config.save_every * self.plan.per_epoch)
        look = last or due(done, self.config.picture_every * self.plan.per_epoch)
        if not (save or look or len(progress.pending) >= 50):
            return True
        with fail_together():
            rows = drain(progress)
        for row in rows:
            self.keeper.log(kind="train", epoch=row["step"] / self.plan.per_epoch, **row)
        if look:
            self._observe(done)
        if save:
            self.keeper.save(done, self._stateful(), self.optimiser, header={"seconds": self._seconds()})
        if progress.stop and not last:
            self.keeper.stop(done)
        return True

    def _stateful(self) -> dict[str, nn.Module]:
        """Every network that a checkpoint must hold."""
        average: dict[str, nn.Module] = {"average": self.average} if self.average is not None else {}
        return {"network": self.plain, **average, **self.target.modules()}

    def _restore(self) -> int:
        found = self.keeper.newest()
        if found is None:
            return 0
        tensors, header = found
        restore(tensors, self._stateful(), self.optimiser)
        self._seconds_before = float(header.get("seconds", 0.0))
        return int(header["step"])

    def _seconds(self) -> float:
        """Seconds so far; those of a part that was interrupted count up to the checkpoint it left."""
        return self._seconds_before + time.monotonic() - self._started

    def _describe(self) -> None:
        """environment.json."""
        facts = describe_environment(
            data=DataFacts(fingerprint=self.data.fingerprint, images=len(self.data.pretrain)),
            steps=self.plan.total,
            batch_size=self.plan.batch_size,
            processes=self.engine.num_processes,
            seconds=self._seconds(),
            notes=tuple(self.notes),
            bad_files=self.data.bad_files,
        )
        write_json(self.out / ENVIRONMENT_FILE, facts)

    def _observe(self, done: int) -> None:
        """Validation loss, collapse monitors and a picture, on the fixed batch with its fixed masks.

        Every process computes it (a teacher's BatchNorm takes statistics over all of them), the main one writes it.
        """
        images, hidden = self.watched
        with whole(self.best, *self.target.modules().values()):
            wanted = self.config.recipe.target
            seen = observe(self.best, self.target, images, hidden, wanted=wanted, engine=self.engine)
        self.keeper.log(kind="val", step=done, epoch=done / self.plan.per_epoch, **seen.values)
        if seen.values["collapsed"] and self.engine.is_main_process:
            tqdm.write(
                f"step {done}: the encoder has collapsed (effective rank {seen.values['effective_rank']:.2f}, feature "
                f"deviation {seen.values['feature_std']:.2g}): every image looks alike to it; lower lr, raise "
                "teacher_momentum, or reconstruct pixels",
                file=sys.stderr,
            )
        pixels = self.target
        if isinstance(pixels, PixelTarget):
            first = images[:_PICTURED], seen.prediction[:_PICTURED], hidden[:_PICTURED]
            on_main(lambda: self._picture(done, *first, pixels))

    def _picture(self, done: int, images: Tensor, prediction: Tensor, hidden: Tensor, target: PixelTarget) -> None:
        masked, filled = paint(images, prediction, hidden, target.cell, normalised=target.normalised)
        rows = [to_display(x, self.data.format) for x in (images, masked, filled)]
        save_picture(PICTURES.path(self.out, done), rows)

    def _export(self) -> None:
        network = self.best
        with whole(network):
            reestimate_batchnorm(network.model, self.data.pretrain)
        state = gathered_by_main(self.engine, network.model.state_dict().items())
        card = card_of(self.config.encoder, self.data)
        on_main(lambda: save_weights(self.out / ENCODER_FILE, state, card))

"""Mask-reconstruction pretraining: hide cells, reconstruct them, keep the encoder."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from unmask.config import PretrainConfig
from unmask.data.imageset import Batch, batches
from unmask.data.load import Dataset, load_data
from unmask.errors import PreemptionError
from unmask.evaluate.rank import effective_rank, feature_std, is_collapsed
from unmask.masking import draw_masks
from unmask.preemption import noticing
from unmask.runs import (
    append_metrics,
    check_folder,
    claim_folder,
    environment,
    read_json,
    require_same_data,
    rewind_metrics,
    write_json,
)
from unmask.stages.pictures import save_picture, to_display
from unmask.stages.reconstructor import Reconstructor, build_reconstructor
from unmask.stages.statistics import evenly, reestimate_batchnorm
from unmask.targets.pixels import hidden_loss, paint
from unmask.targets.target import PixelTarget, TeacherTarget
from unmask.training.checkpoint import checkpoint_path, collect_state, newest, prune, restore_state, save_tensors
from unmask.training.engine import build_engine, effective_lr, fast_layout, unwrap
from unmask.training.loop import Plan, Progress, Terms, drain, run_steps, training_batches
from unmask.training.optimiser import build_optimiser, parameter_groups, plan_steps
from unmask.training.tracking import end_tracker, start_tracker, track
from unmask.weights import ENCODER_FILE, card_of, initialise, save_weights

_MONITORED_PIXELS = 2**21  # of the validation images on which loss, rank and deviation are followed
_PICTURED = 8


def pretrain(
    config: PretrainConfig,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    dataset: Dataset | None = None,
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
        dataset: already loaded data of `config.data`.

    Raises:
        UserError: any bad input, before training starts; or a loss that is not finite.
        PreemptionError: SIGTERM came; a checkpoint of the step then finished is saved.
    """
    check_folder(out, config, resume=resume, overwrite=overwrite)
    data = dataset if dataset is not None else load_data(config.data, labels=False, progress=progress)
    session = Session(config, out, data, show=progress)
    resumed = claim_folder(out, config, resume=resume, overwrite=overwrite)
    if resumed:
        require_same_data(out, data.fingerprint)
    if resumed and (out / ENCODER_FILE).exists():
        return out
    start_tracker(session.engine, out, config)
    try:
        session.run(resumed)
    finally:
        end_tracker(session.engine)
    return out


class Session:
    """The state of one pretraining: networks, optimiser, and where they are written."""

    def __init__(self, config: PretrainConfig, out: Path, data: Dataset, *, show: bool) -> None:
        self.config, self.out, self.data, self.show = config, out, data, show
        self.engine: Accelerator = build_engine(config.recipe.optimiser.precision, tracker=config.tracker, folder=out)
        network, self.target = build_reconstructor(config, channels=data.channels, image_size=data.image_size)
        encoder = network.encoder
        why = getattr(encoder, "note", None)
        self.notes = [*data.notes, f"hidden cells: {encoder.execution} execution" + (f" ({why})" if why else "")]
        if config.init is not None:
            self.notes += initialise(network.model, config.init, config.encoder, channels=data.channels)
        if isinstance(self.target, TeacherTarget):
            self.target.begin(network.model, self.engine.device)
        self.plan = Plan(*plan_steps(config.recipe.optimiser, len(data.pretrain)))
        groups = parameter_groups(network, weight_decay=config.recipe.optimiser.weight_decay)
        self.network, self.optimiser = self.engine.prepare(
            fast_layout(network), build_optimiser(config.recipe.optimiser, groups)
        )
        ema = config.recipe.optimiser.ema
        self.average = (
            AveragedModel(self.plain, multi_avg_fn=get_ema_multi_avg_fn(ema), use_buffers=True) if ema > 0 else None
        )
        self.watched = self._watched_batch()
        self._asked_to_stop: Callable[[], bool] = lambda: False

    @property
    def plain(self) -> Reconstructor:
        """The network without the engine's wrappers."""
        return unwrap(self.engine, self.network)

    @property
    def best(self) -> Reconstructor:
        """The network that is evaluated and exported: the averaged one where there is one."""
        return self.plain if self.average is None else cast(Reconstructor, self.average.module)

    def _watched_batch(self) -> tuple[Tensor, Tensor]:
        source = self.data.val if self.data.val is not None and len(self.data.val) > 0 else self.data.pretrain
        height, width = self.data.image_size
        chosen = evenly(source, min(512, max(32, _MONITORED_PIXELS // (height * width))))
        batch = next(iter(batches(source, chosen, len(chosen), mean=self.data.mean, std=self.data.std)))
        hidden = draw_masks(
            self.config.recipe.mask, self.plain.encoder.grid, seed=self.config.seed, epoch=-1, ids=batch.ids.numpy()
        )
        return batch.images.to(self.engine.device), hidden.to(self.engine.device)

    def run(self, resumed: bool) -> None:
        """Train from the newest checkpoint, or from the start, to the end; then export the encoder."""
        started = time.monotonic()
        progress = Progress()
        if resumed:
            progress.step = self._restore()
            rewind_metrics(self.out, progress.step or -1)  # the look before the first step is taken again too
        self._describe(0.0)
        if self.show:
            for note in self.notes:
                tqdm.write(f"note: {note}", file=sys.stderr)
        if progress.step == 0:
            self._observe(0)
        stream = training_batches(
            self.data.pretrain,
            self.plan,
            mean=self.data.mean,
            std=self.data.std,
            augment=self.config.recipe.augment,
            seed=self.config.seed,
            start=progress.step,
            engine=self.engine,
        )
        with noticing() as self._asked_to_stop:
            run_steps(
                stream,
                engine=self.engine,
                optimiser=self.optimiser,
                config=self.config.recipe.optimiser,
                plan=self.plan,
                seed=self.config.seed,
                loss=self._loss,
                after_step=self._after_step,
                progress=progress,
                description="pretrain",
                show=self.show and self.engine.is_main_process,
            )
        self._export()
        self._describe(time.monotonic() - started)

    def _loss(self, batch: Batch, step: int) -> Terms:
        epoch = self.plan.epoch_of(step)
        grid = self.plain.encoder.grid
        hidden = draw_masks(self.config.recipe.mask, grid, seed=self.config.seed, epoch=epoch, ids=batch.ids.numpy())
        hidden = hidden.to(batch.images.device)
        prediction = self.network(batch.images, hidden)
        target = self.target(batch.images)
        loss = hidden_loss(prediction, target, self.target.flat(target), hidden, kind=self.config.recipe.target.loss)
        return Terms(loss.total, loss.number, {"baseline": loss.baseline})

    def _after_step(self, done: int, progress: Progress) -> bool:
        if self.average is not None:
            self.average.update_parameters(self.plain)
        self.target.after_step(self.plain.model, done, self.plan.total)
        last, stop = done == self.plan.total, self._asked_to_stop()
        save = last or stop or _due(done, self.config.save_every * self.plan.per_epoch)
        look = last or _due(done, self.config.picture_every * self.plan.per_epoch)
        if not (save or look or len(progress.pending) >= 50):
            return True
        for row in drain(progress):
            self._log(kind="train", epoch=row["step"] / self.plan.per_epoch, **row)
        if look:
            self._observe(done)
        if save:
            self._save(done)
        if stop and not last:
            raise PreemptionError(f"{self.out}: stopped by SIGTERM, saved at step {done}; go on with --resume")
        return True

    def _log(self, **values: Any) -> None:
        if self.engine.is_main_process:
            append_metrics(self.out, **values)
            track(self.engine, values)

    def _save(self, done: int) -> None:
        modules = self._stateful()
        if self.engine.is_main_process:
            save_tensors(checkpoint_path(self.out, done), collect_state(modules, self.optimiser), {"step": done})
            prune(self.out, self.config.keep)

    def _stateful(self) -> dict[str, nn.Module]:
        """Every network that a checkpoint must hold."""
        average: dict[str, nn.Module] = {"average": self.average} if self.average is not None else {}
        return {"network": self.plain, **average, **self.target.modules()}

    def _restore(self) -> int:
        found = newest(self.out)
        if found is None:
            return 0
        _, tensors, header = found
        restore_state(tensors, self._stateful(), self.optimiser)
        return int(header["step"])

    def _describe(self, seconds: float) -> None:
        """environment.json; the seconds of interrupted and resumed parts add up."""
        config = self.config
        path = self.out / "environment.json"
        before = float(read_json(path).get("seconds", 0.0)) if path.exists() else 0.0
        facts = environment(
            seed=config.seed,
            data={"fingerprint": self.data.fingerprint, "images": len(self.data.pretrain)},
            steps=self.plan.total,
            batch_size=self.plan.batch_size,
            seconds=before + seconds,
            notes=[*self.notes, effective_lr(config.recipe.optimiser)],
            bad_files=list(self.data.bad_files),
        )
        if self.engine.is_main_process:
            write_json(path, facts)

    @torch.no_grad()
    def _observe(self, done: int) -> None:
        """Validation loss, collapse monitors and a picture, on the fixed batch with its fixed masks."""
        if not self.engine.is_main_process:
            return
        network = self.best
        was_training = network.training
        network.eval()
        images, hidden = self.watched
        prediction = network(images, hidden).float()
        target = self.target(images)
        loss = hidden_loss(prediction, target, self.target.flat(target), hidden, kind=self.config.recipe.target.loss)
        whole = network.encoder(images, torch.zeros_like(hidden)).maps[-1].float().mean(dim=(2, 3))
        network.train(was_training)
        health = {"effective_rank": effective_rank(whole), "feature_std": feature_std(whole)}
        self._log(
            kind="val",
            step=done,
            epoch=done / self.plan.per_epoch,
            val_loss=float(loss.total / loss.number),
            baseline=float(loss.baseline / loss.number),
            **health,
            collapsed=is_collapsed(**health),
        )
        if is_collapsed(**health):
            tqdm.write(
                f"step {done}: the encoder has collapsed (effective rank {health['effective_rank']:.2f}, feature "
                f"deviation {health['feature_std']:.2g}): every image looks alike to it; lower lr, raise "
                "teacher_momentum, or reconstruct pixels",
                file=sys.stderr,
            )
        if isinstance(self.target, PixelTarget):
            self._picture(done, images[:_PICTURED], prediction[:_PICTURED], hidden[:_PICTURED], self.target)

    def _picture(self, done: int, images: Tensor, prediction: Tensor, hidden: Tensor, target: PixelTarget) -> None:
        masked, filled = paint(images, prediction, hidden, target.cell, normalised=target.normalised)
        rows = [to_display(x, self.data.mean, self.data.std) for x in (images, masked, filled)]
        save_picture(self.out / "pictures" / f"step_{done:08d}.png", rows)

    def _export(self) -> None:
        network = self.best
        reestimate_batchnorm(network.model, self.data.pretrain, mean=self.data.mean, std=self.data.std)
        card = card_of(self.config.encoder, self.data)
        if self.engine.is_main_process:
            save_weights(self.out / ENCODER_FILE, network.model, card)


def _due(done: int, interval: float) -> bool:
    """Whether a multiple of the interval (in steps, may be fractional) was passed by the step just done."""
    return int(done / interval) > int((done - 1) / interval)

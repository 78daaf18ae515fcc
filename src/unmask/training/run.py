"""A network in training: the one loop of every stage, and what must be saved to resume bit for bit.

A stage defines the loss, the evaluation and the logging (`TrainingStage`). A phase defines on what schedule which
parameters learn (`Phase`). Everything else is `TrainingRun`: devices, processes, shards, the average, the optimizer,
checkpoints, SIGTERM and losses that are not finite.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from unmask.config import OptimizerConfig
from unmask.data.imageset import Batch, ImageSet
from unmask.distributed import any_process, fail_together
from unmask.errors import PreemptionError, UserError
from unmask.freed_memory import return_freed_memory
from unmask.preemption import STOPPED, noticing
from unmask.randomness import derive_seed
from unmask.runs.metrics import Row
from unmask.training.checkpoint import Checkpoint, CheckpointHeader, restore_state
from unmask.training.keeper import Keeper, due
from unmask.training.optimizer import build_optimizer, parameter_groups, schedule, set_lr
from unmask.training.placement import freeze, long_average, place, require_variance
from unmask.training.plan import effective_lr, plan_steps
from unmask.training.sharding import gathered_by_main, note_of, placed_state, shard, whole
from unmask.training.stage import LOG_EVERY, Moment, Phase, Reached, Setup, TrainingStage
from unmask.training.step import Step, StepLog, accumulate_gradients, clip_gradients, memory_explained, seeded
from unmask.training.tracking import tracked
from unmask.training.training_batches import training_batches

N = TypeVar("N", bound=nn.Module)


class TrainingRun(Generic[N]):
    """A network in training."""

    def __init__(
        self,
        setup: Setup,
        network: N,
        forward: Callable[[], Tensor],
        *,
        optimizer: OptimizerConfig,
        images: int,
        followers: Mapping[str, nn.Module] | None = None,
    ) -> None:
        """Move a network, in place, to where it is trained.

        Args:
            setup: devices, folder and callbacks.
            network: to be trained; on the CPU.
            forward: the network's output for an input on the CPU; called here, before it is moved.
            optimizer: settings of the main phase.
            images: number of training images.
            followers: networks on the device, by name, that are also checkpointed, such as an EMA teacher.

        Raises:
            UserError: the network cannot be sharded, or the images cannot be shared by the processes.
        """
        self.setup, self.network, self.followers = setup, network, followers or {}
        with fail_together():
            self.plan = plan_steps(optimizer, images, self.engine.num_processes)
            require_variance(network, forward, images % self.plan.batch_size or self.plan.batch_size)
        self._phase: Phase | None = None
        self._placed = place(self.engine, network, forward, momentum=optimizer.ema, sharded=setup.sharded)
        for follower in self.followers.values() if setup.sharded else ():
            shard(follower, self.engine)
        self._wrapped: Any = self.engine.prepare_model(network) if self._alone else network
        self.notes = [effective_lr(optimizer, batch=self.plan.batch_size, processes=self.engine.num_processes)]
        self.notes += [note_of(self.engine)] if setup.sharded else []
        self.notes += long_average(optimizer.ema, self.plan.total)
        folder, batch_size = setup.folder, self.plan.batch_size
        self.keeper = Keeper(self.engine, folder, setup.keep, batch_size) if folder is not None else None
        self._checkpoint: Checkpoint | None = None
        self._best: dict[str, Tensor] | None = None
        self._since = time.monotonic()

    @property
    def engine(self) -> Accelerator:
        """Devices and processes."""
        return self.setup.engine

    @property
    def _alone(self) -> bool:
        return self.engine.num_processes == 1 and not self.setup.sharded

    @property
    def seconds(self) -> float:
        """Seconds so far; those of an interrupted part count up to its last checkpoint."""
        return time.monotonic() - self._since

    @property
    def average(self) -> AveragedModel | None:
        """The average of the weights, in phases that have one."""
        return self._placed.average if self._phase is None or self._phase.averaged else None

    @property
    def evaluated(self) -> N:
        """The averaged network, if there is one."""
        return self.network if self.average is None else cast(N, self.average.module)

    def remember_best(self) -> None:
        """Keep the evaluated network's state as the best so far; checkpoints hold it too."""
        self._best = {name: value.clone() for name, value in self.evaluated.state_dict().items()}

    def best(self) -> N:
        """The evaluated network, in its best state if one was kept.

        Raises:
            UserError: the checkpoint to resume belongs to a phase that the training does not have.
        """
        if self._checkpoint is not None:
            raise UserError(
                f"{self._checkpoint.path}: phase = {self._checkpoint.header.phase!r} is not a phase of this run"
            )
        if self._best is not None:
            self.evaluated.load_state_dict(self._best)
        return self.evaluated

    def state_of(self, module: nn.Module) -> dict[str, Tensor]:
        """A state_dict of whole tensors in the main process, empty in others. All processes call it."""
        return gathered_by_main(self.engine, module.state_dict().items())

    def whole(self, *networks: nn.Module) -> AbstractContextManager[None]:
        """In the body the followers and these networks are whole in every process, even if sharded."""
        return whole(*networks, *self.followers.values())

    def log(self, row: Row, tracked: int | None = None) -> None:
        """Write a line to metrics.jsonl and to the tracker, there under the step `tracked`; see `Keeper.log`."""
        if self.keeper is not None:
            self.keeper.log(row, tracked)

    def tracked(self, config: Any) -> AbstractContextManager[None]:
        """In the body metrics also go to the engine's tracker, if it has one; `config` is what it shows of the run."""
        return tracked(self.engine, self.setup.folder or Path(), config)

    def resume(self) -> CheckpointHeader | None:
        """Find the newest checkpoint, from which `fit` then continues. Returns its header; None without any."""
        self._checkpoint = self.keeper.newest() if self.keeper is not None else None
        if self._checkpoint is None:
            return None
        self._since -= self._checkpoint.header.seconds
        return self._checkpoint.header

    def fit(self, images: ImageSet, phase: Phase, stage: TrainingStage) -> None:
        """Take the steps of a phase: all, or those remaining after the checkpoint to resume.

        The gradient of a step is that of the mean over all terms of all devices and micro-batches. During a step
        SIGTERM is only noted; it takes effect after the step, in all processes at the same one.

        Raises:
            UserError: the loss or a gradient is not finite. Nothing is saved after it; the last good checkpoint stays.
            PreemptionError: SIGTERM came; with a folder the step then finished is saved.
        """
        if self._checkpoint is not None and self._checkpoint.header.phase != phase.name:
            return  # the phase had ended
        self.begin(phase, len(images))
        start, ended = self._restore()
        if not ended:
            self._take_steps(images, phase, stage, start)
        if phase.scale_of is not None:
            self.network.requires_grad_(True)

    def begin(self, phase: Phase, images: int) -> None:
        """Set up a phase's plan, optimizer and trainable parameters."""
        self._phase, self.plan = phase, plan_steps(phase.optimizer, images, self.engine.num_processes)
        if (scale_of := phase.scale_of) is not None:
            for name, parameter in self.network.named_parameters():
                parameter.requires_grad_(scale_of(name) > 0)
        groups = parameter_groups(self.network, weight_decay=phase.optimizer.weight_decay, scale_of=scale_of)
        self.optimizer = self.engine.prepare_optimizer(build_optimizer(phase.optimizer, groups))
        freeze(self.network, self._placed.unused)
        if self.engine.num_processes > 1 and not self.setup.sharded:
            self._wrapped = self.engine.prepare_model(self.network)

    def _restore(self) -> tuple[int, bool]:
        """Restore the checkpoint to resume, if any: steps taken in its phase, and whether that had ended early."""
        if self._checkpoint is None:
            return 0, False
        found, self._checkpoint = self._checkpoint, None
        with fail_together():
            if found.header.phase_step > self.plan.total:
                raise UserError(f"{found.path}: phase_step = {found.header.phase_step} of {self.plan.total} steps")
            try:
                best = restore_state(found.tensors, self._stateful(), self.optimizer)
                self._best = placed_state(best, self.evaluated) or None
            except (RuntimeError, LookupError, ValueError) as error:
                reason = " ".join(str(error).split())[:200]
                raise UserError(f"{found.path}: is not of this network ({reason})") from None
        return found.header.phase_step, found.header.ended

    def _take_steps(self, images: ImageSet, phase: Phase, stage: TrainingStage, start: int) -> None:
        log, total, shown = StepLog(scaled=phase.optimizer.precision == "fp16"), self.plan.total, time.monotonic()
        bar = tqdm(total=total, initial=start, desc=phase.name, disable=not self.setup.show, unit="step")
        with bar, noticing() as asked_to_stop, warnings.catch_warnings():
            # DDP warns about 1x1 kernels, whose two memory formats are the same order of the same numbers.
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
            for step, batch in self._batches(images, phase, start):
                values = self.take_step(batch, step, phase, stage)
                log.add(step + 1, values)
                bar.update()
                if self.setup.show and time.monotonic() - shown > 1:
                    shown = time.monotonic()
                    told = (f"{k} {float(v):.4f}" for k, v in values.items() if k != "grad_norm")
                    bar.set_postfix_str(" ".join(told))
                go_on = self._after_step(step + 1, phase, stage, log, stop=any_process(asked_to_stop()))
                self._call(Step(step + 1, total, phase.name, self._lr(phase, step), self.network, values))
                if not go_on:
                    break

    def _batches(self, images: ImageSet, phase: Phase, start: int) -> Iterator[tuple[int, Batch]]:
        """Steps and their batches. A file that one process cannot read stops them all."""
        stream = training_batches(images, self.plan, augment=phase.augment, seed=phase.seed, start=start)
        pieces = phase.optimizer.accumulate
        while True:
            with fail_together():
                item = next(stream, None)
                if item is not None and self.engine.num_processes > 1 and len(item[1].ids) < pieces:
                    raise UserError(
                        f"step {item[0] + 1}: {len(item[1].ids)} readable images for the {pieces} micro-batches of a "
                        "process: start fewer processes, lower accumulate, or fix the data"
                    )
            if item is None:
                return
            yield item

    def take_step(self, batch: Batch, step: int, phase: Phase, stage: TrainingStage) -> dict[str, Tensor]:
        """One optimizer step. Returns the numbers to log, means over all processes, still on the device."""
        config, network = phase.optimizer, self._wrapped
        set_lr(self.optimizer, self._lr(phase, step))
        # dropout and stochastic depth draw different noise in every process
        own = [self.engine.process_index] if self.engine.process_index else []
        noise = seeded(derive_seed(phase.seed, "step", step, *own))
        at = Moment(step, self.plan.epoch_of(step), phase.seed)
        with memory_explained(len(batch.ids), config.accumulate), noise:
            values = accumulate_gradients(
                self.engine, network, batch, config.accumulate, lambda piece: stage.losses(network, piece, at)
            )
            norm = clip_gradients(self.engine, self.optimizer, config.clip)
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return values | {"grad_norm": norm}

    def _lr(self, phase: Phase, step: int) -> float:
        return phase.optimizer.lr * schedule(step, self.plan.total, phase.optimizer.warmup)

    def _call(self, step: Step) -> None:
        if self.setup.on_step is not None:
            with fail_together():
                self.setup.on_step(step)

    def _after_step(self, done: int, phase: Phase, stage: TrainingStage, log: StepLog, *, stop: bool) -> bool:
        """Update what follows the network; log, evaluate and save when due; return whether to continue."""
        if self.average is not None:
            self.average.update_parameters(self.network)
        stage.follow(done, self.plan.total)
        last, look = done == self.plan.total, due(done, phase.look_every)
        save = self.keeper is not None and (last or stop or due(done, phase.save_every))
        if not (last or look or save or stop or done % LOG_EVERY == 0):
            return True
        with fail_together():
            rows = log.drain()
        return_freed_memory()
        go_on = stage.report(Reached(phase, done, last, look, rows))
        if save:
            self._save(done, phase, stage, ended=not go_on)
        if stop and not (last and phase.final):
            self._stop(phase.before + done)
        return go_on

    def _stateful(self) -> dict[str, nn.Module]:
        """Every network that a checkpoint must hold."""
        average: dict[str, nn.Module] = {"average": self.average} if self.average is not None else {}
        return {"network": self.network, **average, **self.followers}

    def _save(self, done: int, phase: Phase, stage: TrainingStage, *, ended: bool) -> None:
        assert self.keeper is not None
        facts = {"phase": phase.name, "phase_step": done, "ended": ended, "seconds": self.seconds, **stage.facts()}
        self.keeper.save(phase.before + done, self._stateful(), self.optimizer, more=self._best, **facts)

    def _stop(self, done: int) -> None:
        if self.keeper is not None:
            self.keeper.stop(done)
        raise PreemptionError(STOPPED)

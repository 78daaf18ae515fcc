"""The one training loop. A stage gives it a loss; it takes steps, watches for NaN, logs, and saves on a schedule."""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

from unmask.config import AugmentConfig, OptimiserConfig
from unmask.data.imageset import Batch, ImageSet
from unmask.distributed import all_reduce_sum, any_process, fail_together, share_of
from unmask.errors import UserError
from unmask.preemption import noticing
from unmask.randomness import derive_seed, permutation
from unmask.training.engine import global_count, seeded
from unmask.training.memory import memory_explained
from unmask.training.optimiser import schedule, set_lr
from unmask.training.sharding import full, part


class Terms(NamedTuple):
    """A loss as a sum and the number of its terms, and named numbers to log as sums over the same terms."""

    total: Tensor
    number: Tensor
    logged: dict[str, Tensor]


@dataclass(frozen=True)
class Step:
    """An optimizer step just taken, for the caller's `on_step`."""

    step: int
    """Steps taken in this phase, this one included: 1 to `total`."""
    total: int
    """Steps of this phase."""
    phase: str
    """"pretrain"; of supervised training "head" (the head alone), then "all"."""
    lr: float
    """Learning rate of the step, before the factors of layers."""
    network: nn.Module
    """The network as it is after the step, without wrappers. Hooks may be added; its weights are not to be changed."""
    pending: dict[str, Tensor]
    """What `values` reads, still on the device."""

    def values(self) -> dict[str, float]:
        """Loss (a mean over all processes), norm of the gradient and what else is logged; waits for the device."""
        return {name: float(value) for name, value in self.pending.items()}


OnStep = Callable[[Step], None]
"""Called in every process after each step, when it is logged and saved. What it raises ends the run."""


@dataclass
class Progress:
    """What has been done: the step about to be taken, and numbers not yet read back from the device."""

    step: int = 0
    stop: bool = False
    """SIGTERM came, to this or another process: save and leave."""
    scaled: bool = False
    """fp16's loss scaling is on: a step whose gradients overflow is left out by the engine, it is no failure."""
    pending: list[tuple[int, dict[str, Tensor]]] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """How many steps, how many an epoch, and the size of a batch."""

    total: int
    per_epoch: int
    batch_size: int

    def epoch_of(self, step: int) -> int:
        """The epoch to which a step belongs."""
        return step // self.per_epoch


def training_batches(
    images: ImageSet,
    plan: Plan,
    *,
    augment: AugmentConfig,
    seed: int,
    start: int,
    engine: Accelerator,
) -> Iterator[tuple[int, Batch]]:
    """(step, batch) from step `start` to the end. Order, crops and flips are keyed by (seed, epoch, sample id), so
    that starting at any step gives what an uninterrupted run would have given there."""
    step = start
    while step < plan.total:
        epoch, skip = divmod(step, plan.per_epoch)
        order = torch.from_numpy(permutation(seed, "order", epoch, len(images)))
        local, size = shares(order, plan.batch_size, engine)
        for batch in images.batches(local, size, augment=augment, seed=seed, epoch=epoch, start=skip):
            if step >= plan.total:
                return
            yield step, batch
            step += 1


def shares(order: Tensor, batch_size: int, engine: Accelerator) -> tuple[Tensor, int]:
    """This process's part of every batch of an epoch, one batch after the other, and how many that is of a full batch.

    Every image is in exactly one part of exactly one batch, and a batch holds the same images whatever the number of
    processes. Parts of one batch may differ by one image: losses and statistics are sums over all, divided by the count
    of all.
    """
    parts = [share_of(whole, engine.process_index, engine.num_processes) for whole in order.split(batch_size)]
    return torch.cat(parts), len(parts[0])


def run_steps(
    stream: Iterator[tuple[int, Batch]],
    *,
    engine: Accelerator,
    network: Any,
    optimiser: Any,
    config: OptimiserConfig,
    plan: Plan,
    seed: int,
    loss: Callable[[Batch, int], Terms],
    after_step: Callable[[int, Progress], bool],
    progress: Progress,
    phase: str,
    show: bool = True,
    on_step: OnStep | None = None,
) -> None:
    """Take the steps of `stream`.

    `loss(batch, step)` gives a sum and a count; the gradient is that of the global mean over all devices and
    micro-batches. `after_step(steps_done, progress)` may log, save and evaluate; it returns False to stop early. While
    the steps last SIGTERM is only noted: `progress.stop` tells `after_step`, in all processes at the same step.

    Raises:
        UserError: the loss or a gradient is not finite. Nothing is saved after it, the last good checkpoint stays.
    """
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    description = phase if phase == "pretrain" else f"train {phase}"
    progress.scaled = config.precision == "fp16"
    with tqdm(
        total=plan.total,
        initial=progress.step,
        desc=description,
        disable=not show,
        unit="step",
    ) as bar:
        shown = time.monotonic()
        with noticing() as asked_to_stop, warnings.catch_warnings():
            # DDP's remark on 1x1 kernels, whose two memory formats are the same order of the same numbers.
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
            while (item := _next(stream, engine, config.accumulate)) is not None:
                step, batch = item
                set_lr(optimiser, config.lr * schedule(step, plan.total, config.warmup))
                with memory_explained(len(batch.ids), config.accumulate), seeded(_noise_seed(seed, step, engine)):
                    logged = _one_step(batch, step, engine, network, parameters, config.accumulate, loss)
                    norm = _clip(engine, optimiser, parameters, config.clip)
                    optimiser.step()
                optimiser.zero_grad(set_to_none=True)
                progress.step = step + 1
                pending = logged | {"grad_norm": norm}
                progress.pending.append((step, pending))
                bar.update()
                if show and time.monotonic() - shown > 1:
                    shown = time.monotonic()
                    bar.set_postfix_str(" ".join(f"{k} {float(v):.4f}" for k, v in logged.items()))
                progress.stop = any_process(asked_to_stop())
                go_on = after_step(step + 1, progress)
                if on_step is not None:
                    lr = config.lr * schedule(step, plan.total, config.warmup)
                    with fail_together():
                        on_step(Step(step + 1, plan.total, phase, lr, engine.unwrap_model(network), pending))
                if not go_on:
                    break


def _next(stream: Iterator[tuple[int, Batch]], engine: Accelerator, accumulate: int) -> tuple[int, Batch] | None:
    """The next batch, or None at the end. A file that one process cannot read stops them all."""
    with fail_together():
        item = next(stream, None)
        if item is not None and engine.num_processes > 1 and len(item[1].ids) < accumulate:
            raise UserError(
                f"step {item[0] + 1}: {len(item[1].ids)} readable images for the {accumulate} micro-batches of a "
                "process: start fewer processes, lower accumulate, or mend the data"
            )
    return item


def _noise_seed(seed: int, step: int, engine: Accelerator) -> int:
    """Seed of dropout and stochastic depth: of the step, and other than the main process's in every other one."""
    return derive_seed(seed, "step", step, *([engine.process_index] if engine.process_index else []))


def _one_step(
    batch: Batch,
    step: int,
    engine: Accelerator,
    network: Any,
    parameters: list[nn.Parameter],
    accumulate: int,
    loss: Callable[[Batch, int], Terms],
) -> dict[str, Tensor]:
    """Gradients of one step, those of the global sum over the global count of all its micro-batches. Returns the
    numbers to log, means over all processes, still on the device."""
    pieces = _micro_batches(batch, accumulate, alone=engine.num_processes == 1)
    names: list[str] = []
    sums, unit = torch.zeros(0), torch.ones(())
    for index, piece in enumerate(pieces):
        images = piece.images.to(engine.device, memory_format=torch.channels_last)
        moved = Batch(images, piece.labels.to(engine.device), piece.ids)
        with nullcontext() if index + 1 == len(pieces) else engine.no_sync(network):
            with engine.autocast():
                terms = loss(moved, step)
            if index == 0:
                unit = global_count(terms.number)
            engine.backward(terms.total * engine.num_processes / unit)
        values = {"number": terms.number, "loss": terms.total, **terms.logged}
        found = torch.stack([value.detach().float() for value in values.values()])
        names, sums = list(values), found if index == 0 else sums + found
    sums = all_reduce_sum(sums)
    count = sums[0].clamp_min(1)
    if len(pieces) > 1:  # all pieces were divided by the count of the first
        for parameter in parameters:
            if parameter.grad is not None:
                part(parameter.grad).mul_(unit / count)
    return dict(zip(names[1:], (sums[1:] / count).unbind(), strict=True))


def _micro_batches(batch: Batch, accumulate: int, *, alone: bool) -> list[Batch]:
    """A batch in `accumulate` near equal pieces, fewer where it has fewer images.

    One process alone keeps two images in a piece, for BatchNorm; of several each may have a single one, for BatchNorm's
    statistics are then those of all.
    """
    count = min(accumulate, max(1, len(batch.ids) // 2)) if alone else accumulate
    parts = zip(*(t.tensor_split(count) for t in (batch.images, batch.labels, batch.ids)), strict=True)
    return [Batch(*part) for part in parts if len(part[2])]


def _clip(engine: Accelerator, optimiser: Any, parameters: list[nn.Parameter], limit: float) -> Tensor:
    """Clip the gradients of one optimiser to a norm, and return the norm they had.

    fp16's are unscaled before. `engine.clip_grad_norm_` would do that for every optimiser that the engine has prepared:
    the head's gradients twice in the phase after the head's own.
    """
    engine.unscale_gradients(optimiser)
    return full(nn.utils.clip_grad_norm_(parameters, limit if limit > 0 else float("inf")))


def drain(progress: Progress) -> list[dict[str, Any]]:
    """Read the pending numbers back, one row a step; raises at the first loss or gradient that is not finite."""
    rows = []
    for step, values in progress.pending:
        row = {"step": step + 1, **{name: float(value) for name, value in values.items()}}
        watched = {"loss": row["loss"]} if progress.scaled else {"loss": row["loss"], "gradient": row["grad_norm"]}
        for name, value in watched.items():
            if not np.isfinite(value):
                raise UserError(
                    f'the {name} is {value} at step {step + 1}: lower lr, raise warmup or use `precision="no"`; '
                    "the checkpoints before it are kept"
                )
        rows.append(row)
    progress.pending.clear()
    return rows

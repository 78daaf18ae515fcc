"""The one training loop. A stage gives it a loss; it takes steps, watches for NaN, logs, and saves on a schedule."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

from unmask.config import AugmentConfig, OptimiserConfig
from unmask.data.imageset import Batch, ImageSet, batches
from unmask.errors import UserError
from unmask.randomness import derive_seed, permutation
from unmask.training.engine import global_mean, seeded
from unmask.training.optimiser import schedule, set_lr


class Terms(NamedTuple):
    """A loss as a sum and the number of its terms, and named numbers to log as sums over the same terms."""

    total: Tensor
    number: Tensor
    logged: dict[str, Tensor]


@dataclass
class Progress:
    """What has been done: the step about to be taken, and numbers not yet read back from the device."""

    step: int = 0
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
    mean: tuple[float, ...],
    std: tuple[float, ...],
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
        local, size = _local_order(order, plan.batch_size, engine)
        for batch in batches(
            images, local, size, mean=mean, std=std, augment=augment, seed=seed, epoch=epoch, start=skip
        ):
            if step >= plan.total:
                return
            yield step, batch
            step += 1


def _local_order(order: Tensor, batch_size: int, engine: Accelerator) -> tuple[Tensor, int]:
    """This process's share of each global batch. The shares are equal: a short one is filled from the epoch's start."""
    world = engine.num_processes
    if world == 1:
        return order, batch_size
    share = math.ceil(batch_size / world)
    parts = []
    for start in range(0, len(order), batch_size):
        whole = order[start : start + batch_size]
        fill = -len(whole) % world
        parts.append(torch.cat([whole, order[:fill]])[engine.process_index :: world])
    return torch.cat(parts), share


def run_steps(
    stream: Iterator[tuple[int, Batch]],
    *,
    engine: Accelerator,
    optimiser: Any,
    config: OptimiserConfig,
    plan: Plan,
    seed: int,
    loss: Callable[[Batch, int], Terms],
    after_step: Callable[[int, Progress], bool],
    progress: Progress,
    description: str,
    show: bool = True,
) -> None:
    """Take the steps of `stream`.

    `loss(batch, step)` gives a sum and a count; the gradient is that of the global mean over all devices and
    micro-batches. `after_step(steps_done, progress)` may log, save and evaluate; it returns False to stop early.

    Raises:
        UserError: the loss or a gradient is not finite. Nothing is saved after it, the last good checkpoint stays.
    """
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    progress.scaled = config.precision == "fp16"
    started = time.monotonic()
    with tqdm(total=plan.total, initial=progress.step, desc=description, disable=not show, unit="step") as bar:
        for step, batch in stream:
            set_lr(optimiser, config.lr * schedule(step, plan.total, config.warmup))
            with seeded(derive_seed(seed, "step", step)):
                logged = _one_step(batch, step, engine=engine, optimiser=optimiser, config=config, loss=loss)
            norm = _clip(engine, parameters, config.clip)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            progress.step = step + 1
            progress.pending.append((step, logged | {"grad_norm": norm}))
            bar.update()
            if time.monotonic() - started > 1 and show:
                started = time.monotonic()
                bar.set_postfix_str(" ".join(f"{k} {float(v):.4f}" for k, v in logged.items()))
            if not after_step(step + 1, progress):
                break


def _one_step(
    batch: Batch,
    step: int,
    *,
    engine: Accelerator,
    optimiser: Any,
    config: OptimiserConfig,
    loss: Callable[[Batch, int], Terms],
) -> dict[str, Tensor]:
    """Gradients of one step, summed over its micro-batches. Returns the numbers to log, still on the device."""
    pieces = [
        Batch(i, y, d)
        for i, y, d in zip(*(t.chunk(config.accumulate) for t in (batch.images, batch.labels, batch.ids)), strict=True)
    ]
    sums: dict[str, Tensor] = {}
    count = torch.zeros((), device=engine.device)
    for piece in pieces:
        images = piece.images.to(engine.device, memory_format=torch.channels_last)
        moved = Batch(images, piece.labels.to(engine.device), piece.ids)
        with engine.autocast():
            terms = loss(moved, step)
        share = len(piece.ids) / len(batch.ids)
        engine.backward(global_mean(engine, terms.total, terms.number) * share)
        for name, value in {"loss": terms.total.detach(), **terms.logged}.items():
            sums[name] = sums.get(name, torch.zeros_like(count)) + value.detach()
        count = count + terms.number.detach()
    return {name: value / count.clamp_min(1) for name, value in sums.items()}


def _clip(engine: Accelerator, parameters: list[nn.Parameter], limit: float) -> Tensor:
    norm = engine.clip_grad_norm_(parameters, limit if limit > 0 else float("inf"))
    return torch.as_tensor(norm if norm is not None else float("nan"))


def drain(progress: Progress) -> list[dict[str, Any]]:
    """Read the pending numbers back, one row a step; raises at the first loss or gradient that is not finite."""
    rows = []
    for step, values in progress.pending:
        row = {"step": step + 1, **{name: float(value) for name, value in values.items()}}
        watched = {"loss": row["loss"]} if progress.scaled else {"loss": row["loss"], "gradient": row["grad_norm"]}
        for name, value in watched.items():
            if not np.isfinite(value):
                raise UserError(
                    f"the {name} is {value} at step {step + 1}: lower lr, raise warmup or use --precision no; "
                    "the checkpoints before it are kept"
                )
        rows.append(row)
    progress.pending.clear()
    return rows

"""One optimizer step: its gradients over micro-batches and processes, its noise, and its metrics."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from unmask.data.imageset import Batch
from unmask.distributed import all_reduce_sum
from unmask.errors import UserError, is_out_of_memory, memory_line
from unmask.runs.metrics import TrainingRow
from unmask.training.sharding import full, part
from unmask.wording import plural


class Terms(NamedTuple):
    """A loss as a sum and the number of its terms, and named metrics to log as sums over the same terms."""

    total: Tensor
    number: Tensor
    logged: dict[str, Tensor]


Forward = Callable[[], Terms]
"""A forward pass and its loss."""


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
    """The network after the step, without wrappers. Hooks may be added; its weights must not be changed."""
    pending: dict[str, Tensor]
    """What `values` reads, still on the device."""

    def values(self) -> dict[str, float]:
        """Loss (a mean over all processes), gradient norm and other logged metrics; waits for the device."""
        return {name: float(value) for name, value in self.pending.items()}


OnStep = Callable[[Step], None]
"""Called in every process after each step has been logged and saved. An exception it raises ends the run."""


@dataclass
class StepLog:
    """Metrics of the last steps, not yet read back from the device."""

    scaled: bool = False
    """fp16's loss scaling is on: the engine skips a step whose gradients overflow, which is not a failure."""
    pending: list[tuple[int, dict[str, Tensor]]] = field(default_factory=list)

    def add(self, step: int, values: dict[str, Tensor]) -> None:
        """Store the metrics of a step, counted from 1."""
        self.pending.append((step, values))

    def drain(self) -> list[TrainingRow]:
        """One row per step, with the loss's other metrics.

        Raises:
            UserError: at the first loss or gradient that is not finite.
        """
        rows = []
        for step, values in self.pending:
            numbers: dict[str, Any] = {name: float(value) for name, value in values.items()}
            loss, norm = numbers.pop("loss"), numbers.pop("grad_norm")
            for name, value in {"loss": loss, **({} if self.scaled else {"gradient": norm})}.items():
                if not np.isfinite(value):
                    raise UserError(
                        f'the {name} is {value} at step {step}: lower lr, raise warmup or use `precision="no"`; '
                        "the checkpoints before it are kept"
                    )
            rows.append(TrainingRow(step=step, loss=loss, grad_norm=norm if np.isfinite(norm) else None, **numbers))
        self.pending.clear()
        return rows


def accumulate_gradients(
    engine: Accelerator, network: Any, batch: Batch, accumulate: int, losses: Callable[[Batch], Sequence[Forward]]
) -> dict[str, Tensor]:
    """Compute the gradients of one step: of the global sum over the global count of all micro-batches and losses.

    Args:
        network: what the losses train, as the engine wrapped it.
        batch: this process's share of the step, on the CPU.
        losses: of a micro-batch on the device; the same number for each. One is held in memory at a time.

    Returns:
        The numbers to log, means over all processes, still on the device.
    """
    pieces = micro_batches(batch, accumulate, alone=engine.num_processes == 1)
    names: list[str] = []
    sums, unit = torch.zeros(0), torch.ones(())
    for index, piece in enumerate(pieces):
        moved = piece.to(engine.device, memory_format=torch.channels_last)
        with engine.autocast():
            of_piece = losses(moved)
        for number, loss in enumerate(of_piece, 1):
            last = index + 1 == len(pieces) and number == len(of_piece)
            with nullcontext() if last else engine.no_sync(network):
                with engine.autocast():
                    terms = loss()
                if not names:
                    unit = global_count(terms.number)
                engine.backward(terms.total * engine.num_processes / unit)
            values = {"number": terms.number, "loss": terms.total, **terms.logged}
            found = torch.stack([value.detach().float() for value in values.values()])
            names, sums = list(values), sums + found if names else found
    sums = all_reduce_sum(sums)
    count = sums[0].clamp_min(1)
    if len(pieces) * len(of_piece) > 1:  # all were divided by the count of the first
        for parameter in network.parameters():
            if parameter.grad is not None:
                part(parameter.grad).mul_(unit / count)
    return dict(zip(names[1:], (sums[1:] / count).unbind(), strict=True))


def global_count(count: Tensor) -> Tensor:
    """The terms of a loss over all W processes, at least 1.

    The gradient of loss_w = W · sum_w / Σ count, averaged over processes as in DDP, is that of (global sum) / (global
    count): uneven shards and uneven numbers of hidden cells are weighted correctly.
    """
    return all_reduce_sum(count.detach().clone()).clamp_min(1)


def micro_batches(batch: Batch, accumulate: int, *, alone: bool) -> list[Batch]:
    """Split a batch into `accumulate` nearly equal pieces, fewer if it has fewer images.

    A single process keeps two images per piece, for BatchNorm; with several, each may have a single one, because
    BatchNorm's statistics then cover all processes.
    """
    count = min(accumulate, max(1, len(batch.ids) // 2)) if alone else accumulate
    rows = torch.arange(len(batch.ids)).tensor_split(count)
    return [batch.part(part[0], part[-1] + 1) for part in map(Tensor.tolist, rows) if part]


def clip_gradients(engine: Accelerator, optimizer: Any, limit: float) -> Tensor:
    """Clip the gradients of one optimizer to a norm, and return the norm they had.

    fp16 gradients are unscaled first. `engine.clip_grad_norm_` would do that for every optimizer the engine has
    prepared: for the head's gradients twice in the phase after the head's own.
    """
    engine.unscale_gradients(optimizer)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return full(nn.utils.clip_grad_norm_(parameters, limit if limit > 0 else float("inf")))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Stochastic layers (dropout, stochastic depth) draw from torch's global generator: seed it here, restore it after.

    With one seed per step, a resumed run repeats exactly the numbers of a run that never stopped.
    """
    found = torch.accelerator.is_available()
    # Without one `torch.manual_seed` gives the same numbers, but notes the call stack, and the count asks the driver.
    with torch.random.fork_rng(devices=range(torch.cuda.device_count() if found else 0)):
        (torch.manual_seed if found else torch.default_generator.manual_seed)(seed)
        yield


@contextmanager
def memory_explained(images: int, accumulate: int) -> Iterator[None]:
    """In the body, a step on so many images of this process, running out of memory becomes a `UserError` that says how
    many were processed at once, and what to make smaller."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        at_once = max(1, images // accumulate)
        pieces = f"give accumulate = {2 * accumulate} or more (now {accumulate}), or a smaller batch_size"
        smaller = "give a smaller image_size or encoder, or precision = bf16"
        advice = pieces if at_once > 1 else smaller
        raise UserError(f"{memory_line(error)} with {plural(at_once, 'image')} at once: {advice}") from None

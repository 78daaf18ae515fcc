"""The engine: Accelerate holds devices, processes and precision; everything else here is the arithmetic around it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor

from unmask.config import OptimiserConfig
from unmask.errors import UserError
from unmask.training.tracking import FOLDER, require_tracker


def build_engine(precision: str, *, tracker: str | None = None, folder: Path | None = None) -> Accelerator:
    """An Accelerator of the wanted mixed precision; its process-wide state is renewed when the precision differs.

    Args:
        precision: no, bf16 or fp16.
        tracker: where numbers are sent besides metrics.jsonl; see `unmask.training.tracking`.
        folder: run folder, for trackers that write to disk.

    Raises:
        UserError: started as several processes, or the tracker is not installed.
    """
    require_tracker(tracker)
    if AcceleratorState._shared_state and AcceleratorState().mixed_precision != precision:
        AcceleratorState._reset_state()
    logs = None if folder is None else str(folder / FOLDER)
    engine = Accelerator(mixed_precision=precision, log_with=tracker, project_dir=logs)
    if engine.num_processes > 1:
        raise UserError(
            f"started as {engine.num_processes} processes, but run folders and fine-tuning are made for one: start a "
            "single process (a comparison trains several cells at once with --jobs)"
        )
    return engine


def fast_layout(model: torch.nn.Module) -> torch.nn.Module:
    """Kernels in channels-last order, in place: convolutions are faster on CPU and GPU alike; values are unchanged."""
    return model.to(memory_format=torch.channels_last)


def global_mean(engine: Accelerator, total: Tensor, count: Tensor) -> Tensor:
    """A loss whose gradient, averaged over processes as DDP does, is that of (global sum) / (global count).

    With W processes: loss_w = W · sum_w / Σ count. Uneven shards and uneven numbers of hidden cells weigh rightly.
    """
    if engine.num_processes == 1:
        return total / count.clamp_min(1)
    everyone = engine.reduce(count.detach().clone(), reduction="sum")
    return total * engine.num_processes / torch.as_tensor(everyone).clamp_min(1)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Stochastic layers (dropout, stochastic depth) draw from torch's global generator: seed it here, restore it after.

    With one seed a step, a resumed run repeats the very numbers of a run that never stopped.
    """
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def effective_lr(config: OptimiserConfig) -> str:
    """The learning rate in the field's two conventions, for the log."""
    per_256 = config.lr * 256 / config.batch_size
    return f"lr {config.lr:g} at batch {config.batch_size} (base lr {per_256:g} per 256 images)"


def unwrap(engine: Accelerator, model: Any) -> Any:
    """The module behind DDP, FSDP or compile wrappers."""
    return engine.unwrap_model(model)

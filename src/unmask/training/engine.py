"""The engine: Accelerate holds devices, processes and precision; everything else here is the arithmetic around it."""

import atexit
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType, InitProcessGroupKwargs
from torch import Tensor, nn
from torch.torch_version import TorchVersion

from unmask.config import OptimiserConfig
from unmask.distributed import all_reduce_sum, connected
from unmask.encoders.stages import evaluating
from unmask.errors import UserError
from unmask.runs.layout import TRACKERS
from unmask.training.launch import connect_anew, leave, peers_may_connect, require_one_process, started_processes
from unmask.training.sharding import hidden_from_accelerate, told_to_shard
from unmask.training.tracking import require_tracker

_PATIENCE = timedelta(hours=1)
"""How long processes wait for each other: the main one may take its time to evaluate and to save."""
_TORCH_OF_SEVERAL = "2.9"
"""The oldest tried with which several processes end: with 2.5 and 2.7.1 leaving the group hung now and then."""
_OTHER_ENGINES = (DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)


def build_engine(
    precision: str, *, tracker: str | None = None, folder: Path | None = None, several: bool = False
) -> Accelerator:
    """An Accelerator of the wanted mixed precision; its process-wide state is renewed when the precision differs.

    Args:
        precision: no, bf16 or fp16.
        tracker: where numbers are sent besides metrics.jsonl; see `unmask.training.tracking`.
        folder: run folder, for trackers that write to disk.
        several: whether the caller is made for several processes, data-parallel over gloo (CPU) or NCCL (GPU).

    Raises:
        UserError: started as several processes where that is not meant, on an old torch, or with FSDP 1, DeepSpeed or
            Megatron; or the tracker is not installed; or the processes do not reach each other.
    """
    require_tracker(tracker)
    if not several:
        require_one_process("this")
    _require_torch()
    if AcceleratorState._shared_state and AcceleratorState().mixed_precision != precision:
        AcceleratorState._reset_state()
    gpu = torch.cuda.is_available() or torch.xpu.is_available()
    # Small messages between processes go over gloo, from CPU to CPU: they must not wait for the GPU's queue.
    # Without a launcher there is no process group, and Accelerate must not be told of one.
    backend = "cuda:nccl,cpu:gloo" if torch.cuda.is_available() and "LOCAL_RANK" in os.environ else None
    told_to_shard()
    with peers_may_connect(), hidden_from_accelerate():
        connect_anew(backend or "gloo", _PATIENCE)
        engine = Accelerator(
            mixed_precision=precision,
            cpu=started_processes() > 1 and not gpu,
            log_with=tracker,
            project_dir=None if folder is None else str(folder / TRACKERS),
            kwargs_handlers=[InitProcessGroupKwargs(timeout=_PATIENCE, backend=backend)],
        )
    if connected():
        atexit.unregister(leave)
        atexit.register(leave)
    _require_own_sharding(engine)
    return engine


def _require_torch() -> None:
    """Raise `UserError` for several processes of a torch with which they may wait for each other for ever."""
    if started_processes() > 1 and TorchVersion(torch.__version__) < _TORCH_OF_SEVERAL:
        raise UserError(
            f"several processes need torch {_TORCH_OF_SEVERAL} or newer, this is {torch.__version__}: update it, or "
            "start one process"
        )


def _require_own_sharding(engine: Accelerator) -> None:
    """Raise `UserError` for engines that would take over optimiser and checkpoints."""
    if engine.distributed_type in _OTHER_ENGINES:
        raise UserError(
            f"{engine.distributed_type.value} is not supported: launch with plain data parallelism (accelerate launch "
            "--multi_gpu, or torchrun), and give `shard=True` to shard the model over the processes"
        )


def unused_parameters(network: nn.Module, forward: Callable[[], Tensor]) -> list[str]:
    """Names of the trainable parameters that have no part in what `forward` gives, in evaluation mode.

    Data-parallel training waits for the gradient of every trainable parameter; a layer that the stage never calls (the
    norm before a head that pretraining leaves out) has none.
    """
    with evaluating(network):
        forward().sum().backward()
    unused = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    network.zero_grad(set_to_none=True)
    return unused


def freeze(network: nn.Module, names: Iterable[str]) -> None:
    """No gradients for these parameters. In the optimiser they stay: it counts parameters, and passes over them."""
    for name in names:
        network.get_parameter(name).requires_grad_(False)


def fast_layout(model: torch.nn.Module) -> torch.nn.Module:
    """Kernels in channels-last order, in place: convolutions are faster on CPU and GPU alike; values are unchanged."""
    return model.to(memory_format=torch.channels_last)


def global_count(count: Tensor) -> Tensor:
    """The terms of a loss over all W processes, at least 1.

    The gradient of loss_w = W · sum_w / Σ count, averaged over processes as DDP does, is that of (global sum) / (global
    count): uneven shards and uneven numbers of hidden cells weigh rightly.
    """
    return all_reduce_sum(count.detach().clone()).clamp_min(1)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Stochastic layers (dropout, stochastic depth) draw from torch's global generator: seed it here, restore it after.

    With one seed a step, a resumed run repeats the very numbers of a run that never stopped.
    """
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def effective_lr(config: OptimiserConfig, *, batch: int | None = None, processes: int = 1) -> str:
    """The learning rate in the field's two conventions, for the log; `batch` is the size used where it differs."""
    size = batch or config.batch_size
    factors = [f"{size / (processes * config.accumulate):g} a micro-batch"]
    factors += [f"{config.accumulate} micro-batches"] if config.accumulate > 1 else []
    factors += [f"{processes} processes"] if processes > 1 else []
    made_of = f" = {' x '.join(factors)}" if len(factors) > 1 else ""
    return f"lr {config.lr:g} at batch {size}{made_of} (base lr {config.lr * 256 / size:g} per 256 images)"


def unwrap(engine: Accelerator, model: Any) -> Any:
    """The module behind DDP or compile wrappers."""
    return engine.unwrap_model(model)

"""The engine: Accelerate holds devices, processes and precision; everything else here is the arithmetic around it."""

import atexit
import os
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType, InitProcessGroupKwargs
from torch.torch_version import TorchVersion

from unmask.distributed import connected
from unmask.errors import UserError
from unmask.runs.layout import TRACKERS
from unmask.training.launch import (
    leave,
    meet,
    peers_may_connect,
    require_one_process,
    require_whole_launch,
    started_processes,
)
from unmask.training.sharding import hidden_from_accelerate, told_to_shard
from unmask.training.tracking import require_tracker

_PATIENCE = timedelta(hours=1)
"""How long processes wait for each other: the main one may take long to evaluate and save."""
_TORCH_OF_SEVERAL = "2.9"
"""The oldest tested version with which several processes end: 2.5 and 2.7.1 sometimes hung on leaving the group."""
_OTHER_ENGINES = (DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)


def build_engine(
    precision: str, *, tracker: str | None = None, folder: Path | None = None, several: bool = False
) -> Accelerator:
    """Return an Accelerator with this mixed precision; its process-wide state is reset when the precision differs.

    Args:
        precision: no, bf16 or fp16.
        tracker: where metrics are sent besides metrics.jsonl; see `unmask.training.tracking`.
        folder: run folder, for trackers that write to disk.
        several: whether the caller supports several processes, data-parallel over gloo (CPU) or NCCL (GPU).

    Raises:
        UserError: started as several processes although that is not supported, on an old torch, or with FSDP 1,
            DeepSpeed or Megatron; or the tracker is not installed; or the processes cannot reach each other.
    """
    require_tracker(tracker)
    require_whole_launch()
    if not several:
        require_one_process("this")
    _require_torch()
    if AcceleratorState._shared_state and AcceleratorState().mixed_precision != precision:
        AcceleratorState._reset_state()
    gpu = torch.cuda.is_available() or torch.xpu.is_available()
    # Small messages between processes go over gloo, from CPU to CPU: they must not wait for the GPU's queue.
    # Without a launcher there is no process group, and Accelerate must not be given one.
    backend = "cuda:nccl,cpu:gloo" if torch.cuda.is_available() and "LOCAL_RANK" in os.environ else None
    told_to_shard()
    with peers_may_connect(), hidden_from_accelerate():
        meet(backend or "gloo", _PATIENCE)
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
    """Raise `UserError` for several processes on a torch with which they may wait for each other forever."""
    if started_processes() > 1 and TorchVersion(torch.__version__) < _TORCH_OF_SEVERAL:
        raise UserError(
            f"several processes need torch {_TORCH_OF_SEVERAL} or newer, this is {torch.__version__}: update it, or "
            "start one process"
        )


def _require_own_sharding(engine: Accelerator) -> None:
    """Raise `UserError` for engines that would take over optimizer and checkpoints."""
    if engine.distributed_type in _OTHER_ENGINES:
        raise UserError(
            f"{engine.distributed_type.value} is not supported: launch with plain data parallelism (accelerate launch "
            "--multi_gpu, or torchrun), and give `shard=True` to shard the model over the processes"
        )


def fast_layout(model: torch.nn.Module) -> torch.nn.Module:
    """Kernels in channels-last order, in place: convolutions are faster on CPU and GPU alike; values are unchanged.

    A strided 1x1 convolution of few channels, as RepVGG, MobileOne and FastViT begin with, keeps the usual order, of
    its images too: the weight gradient of the other one writes past its memory on CPUs (oneDNN issue 6035).
    """
    model = model.to(memory_format=torch.channels_last)
    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d) and _is_strided_point(layer):
            layer.weight.data = layer.weight.data.clone(memory_format=torch.contiguous_format)
            if _contiguous not in layer._forward_pre_hooks.values():
                layer.register_forward_pre_hook(_contiguous)
    return model


def _is_strided_point(layer: torch.nn.Conv2d) -> bool:
    """Whether it is a 1x1 convolution with a stride and fewer channels than a vector register holds floats."""
    return layer.kernel_size == (1, 1) and layer.stride != (1, 1) and layer.groups == 1 and layer.in_channels < 16


def _contiguous(_: torch.nn.Module, inputs: tuple[object, ...]) -> tuple[object, ...]:
    """The same images in the usual order; what masked execution passes is left alone."""
    return tuple(one.contiguous() if type(one) is torch.Tensor else one for one in inputs)

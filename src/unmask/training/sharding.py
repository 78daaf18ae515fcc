"""Networks sharded over processes (FSDP2, `fully_shard`): each holds a part of every weight, gradient and moment.

Zhao et al. 2023, "PyTorch FSDP". With W processes each keeps 1/W of the 16 bytes that AdamW needs per weight in
float32, and gathers weights when it computes with them: those of a block during the block, the others during the step
(bf16's autocast keeps a two-byte copy of each until the backward pass).
The result is that of data parallelism: gradients are averaged over processes either way. Accelerate would
shard only on GPUs; here the same code runs on CPUs, where it is tested.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim.swa_utils import AveragedModel

from unmask.distributed import connected
from unmask.encoders.stages import evaluating
from unmask.errors import UserError

_TOLD = "ACCELERATE_USE_FSDP"
_OTHER_WAYS = {
    "FSDP_OFFLOAD_PARAMS": "true",
    "FSDP_ACTIVATION_CHECKPOINTING": "true",
    "FSDP_RESHARD_AFTER_FORWARD": "false",
}
"""Options of `accelerate launch --use_fsdp` that are not supported."""


def told_to_shard() -> bool:
    """Whether `accelerate launch --use_fsdp` started this process.

    Raises:
        UserError: with FSDP 1, or with an option that is not supported.
    """
    if os.environ.get(_TOLD, "false").lower() != "true":
        return False
    version = os.environ.get("FSDP_VERSION", "1")
    if version != "2":
        raise UserError(
            f"--use_fsdp came with FSDP {version}: launch with --fsdp_version 2, or torchrun and `shard=True`"
        )
    for name, value in _OTHER_WAYS.items():
        if os.environ.get(name, "").lower() == value:
            raise UserError(f"--{name.lower()} {value} is not supported: omit it, or use torchrun and `shard=True`")
    return True


@contextmanager
def hidden_from_accelerate() -> Iterator[None]:
    """In the body Accelerate does not see that the launcher requested FSDP: sharding is done here."""
    before = os.environ.pop(_TOLD, None)
    try:
        yield
    finally:
        if before is not None:
            os.environ[_TOLD] = before


def wants_sharding(asked: bool, precision: str) -> bool:
    """Whether networks are to be sharded: the configuration or the launcher requests it.

    Raises:
        UserError: sharding is impossible: no other process was started, or fp16 scales the loss.
    """
    if not (asked or told_to_shard()):
        return False
    if not connected():
        raise UserError("shard: a network is sharded over processes, but one was started: use torchrun or accelerate")
    if precision == "fp16":
        raise UserError('shard: fp16 scales its loss by gradients of the whole network; use `precision="bf16"`')
    return True


def require_axes(network: nn.Module) -> None:
    """Raise `UserError` for parameters without an axis (NFNet's skip gains), which FSDP2 cannot shard."""
    single = next((name for name, parameter in network.named_parameters() if parameter.ndim == 0), None)
    if single is not None:
        raise UserError(f"shard: {single} is a single number without an axis, which FSDP2 cannot take: omit `shard`")


def blocks_of(network: nn.Module, forward: Callable[[], Any]) -> list[str]:
    """Paths of the blocks that can be gathered one after the other, so that all weights are never in memory together.

    A block is one of several modules of one class in a row (nn.Sequential, nn.ModuleList), the innermost of these, and
    `forward`, called here in evaluation mode, calls it once with tensors in and a tensor out (not a view of another:
    adding to that in place would detach it from FSDP's hooks). Masked convolution passes more than tensors: such a
    network has no blocks and is gathered as a whole.
    """
    candidates = _in_rows(network)
    calls, plain = dict.fromkeys(candidates, 0), dict.fromkeys(candidates, True)

    def watch(path: str) -> Callable[..., None]:
        """A hook that counts the calls of a block, and notes a call that passes more than plain tensors."""

        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            calls[path] += 1
            plain[path] &= all(type(x) is Tensor for x in (*inputs[:1], output)) and not output._is_view()

        return hook

    handles = [network.get_submodule(path).register_forward_hook(watch(path)) for path in candidates]
    try:
        with evaluating(network):
            forward()
    finally:
        for handle in handles:
            handle.remove()
    return [path for path in candidates if calls[path] == 1 and plain[path]]


def _in_rows(network: nn.Module) -> list[str]:
    """Paths of modules with parts that have a neighbor of the same class, without those that contain another."""
    found = []
    for path, row in network.named_modules():
        if not isinstance(row, nn.Sequential | nn.ModuleList):
            continue
        classes = [type(child) for child in row]
        for name, child in row.named_children():
            parts = sum(1 for module in child.modules() if next(module.parameters(recurse=False), None) is not None)
            if classes.count(type(child)) > 1 and parts > 1:
                found.append(f"{path}.{name}" if path else name)
    return [path for path in found if not any(other.startswith(f"{path}.") for other in found)]


def shard(
    network: nn.Module, engine: Accelerator, blocks: Sequence[str] = (), *, average: AveragedModel | None = None
) -> None:
    """Shard a network's parameters over all processes, in place, each along its first axis; its average likewise.

    Buffers stay whole. Copies of a network are made before: a sharded one cannot be copied.
    """
    from torch.distributed.fsdp import fully_shard  # torch 2.6; a single process also trains with older ones

    mesh = init_device_mesh(engine.device.type, (engine.num_processes,))
    for path in blocks:
        fully_shard(network.get_submodule(path), mesh=mesh, reshard_after_forward=True)
    fully_shard(network, mesh=mesh, reshard_after_forward=False)
    if average is not None:
        fully_shard(average.module, mesh=mesh, reshard_after_forward=False)


def note_of(engine: Accelerator) -> str:
    """One line for the log of a sharded training."""
    return f"weights, gradients and moments sharded over {engine.num_processes} processes (FSDP2)"


@contextmanager
def whole(*networks: nn.Module) -> Iterator[None]:
    """In the body every process has all weights of the networks, so each may compute any part, as often as it likes.

    All processes must enter and leave. A network that is not sharded, or already whole, is unchanged.
    """
    apart = [network for network in networks if any(isinstance(p, DTensor) for p in network.parameters())]
    groups = [(module, module is not network) for network in apart for module in _groups(network)]
    for module, _ in groups:
        module.set_reshard_after_forward(False, recurse=False)
        module.unshard()
    try:
        yield
    finally:
        for module, is_block in groups:
            module.set_reshard_after_forward(is_block, recurse=False)
            module.reshard()


def _groups(network: nn.Module) -> list[Any]:
    """The modules on which `fully_shard` was called."""
    from torch.distributed.fsdp import FSDPModule

    return [module for module in network.modules() if isinstance(module, FSDPModule)]


def full(tensor: Tensor) -> Tensor:
    """A sharded tensor gathered in every process; another one unchanged. All processes call it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gathered_by_main(engine: Accelerator, tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Whole tensors by name in the main process, one after the other, so that a device holds one beside its shards;
    nothing in the others. All processes call it."""
    found = {}
    for name, tensor in tensors:
        together = full(tensor).cpu() if isinstance(tensor, DTensor) else tensor
        if engine.is_main_process:
            found[name] = together
    return found


def part(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor: a view."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def placed(value: Tensor, like: Tensor) -> Tensor:
    """A copy of a whole tensor, the same in every process, placed like `like`: device, type, order of axes in memory,
    and sharded if that is."""
    if isinstance(like, DTensor):
        value = value.to(like.device, like.dtype)
        return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)
    return torch.empty_like(like, requires_grad=False).copy_(value)


def placed_state(state: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Whole tensors of a state_dict, sharded like the network's, for its `load_state_dict`."""
    now = network.state_dict()
    return {
        name: placed(value, now[name]) if isinstance(now.get(name), DTensor) else value for name, value in state.items()
    }

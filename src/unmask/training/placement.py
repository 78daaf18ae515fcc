"""Bring a network to where it is trained: its device, the order of its kernels, its average, its shards."""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from unmask.distributed import fail_together
from unmask.encoders.stages import evaluating
from unmask.errors import UserError
from unmask.training.engine import fast_layout
from unmask.training.sharding import blocks_of, part, require_axes, shard


class Placed(NamedTuple):
    """The by-products of preparing a network for training."""

    average: AveragedModel | None
    unused: list[str]
    """Parameters to freeze over several processes, after the optimizer has counted them."""


def place(
    engine: Accelerator, network: nn.Module, forward: Callable[[], Tensor], *, momentum: float, sharded: bool
) -> Placed:
    """Bring a network, in place, and its average with this momentum to the engine's device, sharded if requested.
    `forward` is called before it is moved, on the CPU.

    A network to be sharded stays on the CPU until each process has its part: FSDP2 moves one block after the other. It
    keeps the axes of its kernels in order, as FSDP2 requires; others get the channels-last order.

    Raises:
        UserError: it cannot be sharded, or `forward` cannot read its images.
    """
    with fail_together():
        if sharded:
            require_axes(network)
        unused = unused_parameters(network, forward) if engine.num_processes > 1 or sharded else []
        blocks = blocks_of(network, forward) if sharded else []
    if not sharded:
        return Placed(average_of(fast_layout(network).to(engine.device), momentum), unused)
    average = average_of(network, momentum)
    engine.prepare_model(network, device_placement=False, evaluation_mode=True)  # mixed precision only
    shard(network, engine, blocks, average=average)
    return Placed(average, unused)


def average_of(network: nn.Module, momentum: float) -> AveragedModel | None:
    """A copy of the network that follows it, a ← m_n a + (1 - m_n) w for weights and buffers; None if m is 0.

    Its first update copies the network as it is then; the n-th update after it has momentum
    m_n = min(m, (1 + n) / (10 + n)), so that the average of a short training is not made of its first weights (the
    warm-up of timm and TensorFlow). A network that is to be sharded is copied before, and the copy is sharded likewise:
    each process averages the part it holds.
    """
    if momentum == 0:
        return None

    def of_parts(averages: Any, values: Any, count: Tensor | int) -> None:
        """Move all averages at once, each process the part that it holds."""
        move = get_ema_multi_avg_fn(warmed_up(momentum, int(count)))
        move([part(average) for average in averages], [part(value) for value in values], count)

    return AveragedModel(network, multi_avg_fn=of_parts, use_buffers=True)


def warmed_up(momentum: float, updates: int) -> float:
    """The momentum of an average after so many updates: min(m, (1 + n) / (10 + n))."""
    return min(momentum, (1 + updates) / (10 + updates))


def require_variance(network: nn.Module, forward: Callable[[], Tensor], smallest: int) -> None:
    """Raise `UserError` if the smallest batch, a single image, leaves a BatchNorm one value per channel. The network
    is in evaluation mode; `forward` runs it on an input."""
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if smallest > 1 or not norms:
        return
    positions: list[int] = []

    def look(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Hook: how many values of a channel a BatchNorm gets from one image."""
        positions.append(math.prod(inputs[0].shape[2:]))

    hooks = [norm.register_forward_pre_hook(look) for norm in norms]
    try:
        with evaluating(network), torch.no_grad():
            forward()
    finally:
        for hook in hooks:
            hook.remove()
    if 1 in positions:
        raise UserError(
            "batch_size: a batch of one image leaves a BatchNorm one value per channel, which has no variance: give "
            "batch_size = 3 or more, or a larger image_size"
        )


def long_average(momentum: float, steps: int) -> list[str]:
    """A note if the average spans more steps, 1 / (1 - m), than the training has."""
    reach = round(1 / (1 - momentum))
    if reach <= steps:
        return []
    return [
        f"the average of the weights (ema = {momentum}) spans {reach:,} steps, the training has {steps:,}: its "
        "momentum rises from 0.1, and it averages about the last ninth of the steps taken"
    ]


def unused_parameters(network: nn.Module, forward: Callable[[], Tensor]) -> list[str]:
    """Names of the trainable parameters that do not contribute to the output of `forward`, in evaluation mode.

    Data-parallel training waits for the gradient of every trainable parameter; a layer that the stage never calls (the
    norm before a head that pretraining leaves out) has none.
    """
    with evaluating(network):
        forward().sum().backward()
    unused = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    network.zero_grad(set_to_none=True)
    return unused


def freeze(network: nn.Module, names: Iterable[str]) -> None:
    """Disable gradients for these parameters. They stay in the optimizer, which counts parameters and skips them."""
    for name in names:
        network.get_parameter(name).requires_grad_(False)

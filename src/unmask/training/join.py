"""Bringing a network to where it is trained: its device, the order of its kernels, its average, its shards."""

from collections.abc import Callable
from typing import NamedTuple

from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from unmask.distributed import fail_together
from unmask.training.averaging import average_of
from unmask.training.engine import fast_layout, unused_parameters
from unmask.training.sharding import blocks_of, require_axes, shard


class Joined(NamedTuple):
    """What comes with a network that was brought to where it is trained."""

    average: AveragedModel | None
    unused: list[str]
    """Parameters to freeze over several processes, once the optimiser has counted them."""


def join(
    engine: Accelerator, network: nn.Module, forward: Callable[[], Tensor], *, momentum: float, sharded: bool
) -> Joined:
    """Bring a network, in place, and its average of this momentum to the engine's device, sharded where wanted.

    A network to be sharded stays on the CPU until each process has its part: FSDP2 moves one block after the other. It
    keeps the axes of its kernels in order, which FSDP2 asks for; others get the channels-last order.

    Args:
        forward: what the network gives for an input on the CPU; called here, before it is moved.

    Raises:
        UserError: it cannot be sharded, or `forward` cannot read its images.
    """
    with fail_together():
        if sharded:
            require_axes(network)
        unused = unused_parameters(network, forward) if engine.num_processes > 1 or sharded else []
        blocks = blocks_of(network, forward) if sharded else []
    if not sharded:
        return Joined(average_of(fast_layout(network).to(engine.device), momentum), unused)
    average = average_of(network, momentum)
    engine.prepare_model(network, device_placement=False, evaluation_mode=True)  # mixed precision, and no more
    shard(network, engine, blocks, average=average)
    return Joined(average, unused)

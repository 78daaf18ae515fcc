"""The exponential moving average of a network's weights, sharded or not."""

from typing import Any

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from unmask.training.sharding import part


def average_of(network: nn.Module, momentum: float) -> AveragedModel | None:
    """A copy of the network that follows it, a ← m a + (1 - m) w for weights and buffers; None where m is 0.

    Its first update copies the network as it is then. Of a network that is to be sharded the copy is made before, and
    sharded likewise: each process averages the part it holds.
    """
    if momentum == 0:
        return None
    move = get_ema_multi_avg_fn(momentum)

    def of_parts(averages: Any, values: Any, count: Tensor | int) -> None:
        move([part(average) for average in averages], [part(value) for value in values], count)

    return AveragedModel(network, multi_avg_fn=of_parts, use_buffers=True)

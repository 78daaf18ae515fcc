"""BatchNorm over the batches of all processes, for a plain network's own forward: SyncBatchNorm on any device."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from unmask.distributed import world_size
from unmask.encoders.dense import norms
from unmask.encoders.dense.layout import Cells, Layout, Masked


class JointStatistics(TorchFunctionMode):
    """While active, BatchNorm in training takes mean and variance over the images of all processes.

    So the result of training does not depend on how many processes share a batch. Any module that calls
    `torch.nn.functional.batch_norm` is covered, timm's BatchNormAct2d included; everything else runs unchanged.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Replace one function."""
        if func is F.batch_norm and world_size() > 1:
            return joint_batch_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def joint_batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm` of [B, C] or [B, C, ...] with statistics over all processes in training."""
    if not training:
        return F.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    values = x.reshape(len(x), x.shape[1], -1, 1)
    cells = Cells(torch.zeros(len(x), values.shape[2], 1, dtype=torch.bool, device=x.device))
    whole = Masked(values, Layout(cells, cells.hidden, (0, 2, 3)))
    result = norms.batch_norm(F.batch_norm, whole, running_mean, running_var, weight, bias, True, momentum, eps)
    return result.values.reshape(x.shape)

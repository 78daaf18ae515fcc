"""Convolution: hidden positions contribute 0 and stay 0."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from unmask.encoders.dense.layout import Masked, require_map


def convolution(func: Callable[..., Tensor], x: Masked, *args: Any, **kwargs: Any) -> Masked:
    """Any kernel, stride, dilation, groups and padding: run on zero-filled values, then hide the output.

    The output's mask is the cells projected to its grid, so the visible region neither grows nor erodes with depth.
    """
    require_map(x)
    values = func(x.values, *args, **kwargs)
    layout = x.layout.projected(values.shape[2], values.shape[3])
    return Masked(values.mul_(layout.visible(4, values.dtype)), layout)  # in place: no backward pass reads it

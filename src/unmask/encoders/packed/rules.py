"""The whitelist of packed execution. A model that calls anything else runs dense."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from unmask.encoders.dense import rules as dense
from unmask.encoders.packed import convolution, pointwise, pooling, shapes

T = Tensor
Rule = Callable[..., Any]

SHAPES: dict[Any, Rule] = {
    T.shape.__get__: lambda shape: shape,  # type: ignore[attr-defined]
    T.size: lambda shape, dim=None: shape if dim is None else shape[dim],
    T.__len__: lambda shape: shape[0],
    T.numel: lambda shape: shape.numel(),
}
"""Questions about the shape, answered for the map that the tiles stand for."""

RULES: dict[Any, Rule] = {
    **dict.fromkeys((*dense.POINTWISE, *dense.SINGULAR), pointwise.pointwise),
    **dict.fromkeys((*dense.ACTIVATIONS, F.hardsigmoid), pointwise.activation),
    **dict.fromkeys((T.float, T.half, T.bfloat16, T.double, T.to, T.clone, torch.clone, T.detach), pointwise.unary),
    T.contiguous: shapes.contiguous,
    F.dropout: pointwise.dropout,
    **dict.fromkeys((F.linear, F.layer_norm, F.rms_norm), pointwise.channelwise),
    F.batch_norm: pointwise.batch_norm,
    F.group_norm: pointwise.group_norm,
    F.conv2d: convolution.convolution,
    F.max_pool2d: pooling.max_pool,
    F.avg_pool2d: pooling.average_pool,
    F.adaptive_avg_pool2d: pointwise.adaptive_average,
    **dict.fromkeys((T.mean, torch.mean), pointwise.mean),
    **dict.fromkeys((T.sum, torch.sum), pointwise.total),
    **dict.fromkeys((T.norm, torch.norm), pointwise.norm),
    **dict.fromkeys((T.permute, torch.permute), shapes.permute),
    **dict.fromkeys((T.split, torch.split), shapes.split),
    **dict.fromkeys((T.chunk, torch.chunk), shapes.chunk),
    **dict.fromkeys((torch.cat, torch.concat), shapes.concatenate),
    F.pad: shapes.pad,
    T.__getitem__: shapes.take,
}

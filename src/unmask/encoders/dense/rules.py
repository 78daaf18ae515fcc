"""Which rule handles which operation. Anything not listed here is refused on a masked tensor."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from unmask.encoders.dense import attention, convolution, norms, pooling, reductions, shapes
from unmask.encoders.dense.elementwise import activation, channelwise, copied, dropout, elementwise, gate, singular
from unmask.encoders.smoothed_relu import smoothed_relu

T = Tensor
Rule = Callable[..., Any]

QUERIES: frozenset[Any] = frozenset(
    {
        *(
            getattr(T, name).__get__
            for name in ("shape", "dtype", "device", "ndim", "requires_grad", "is_cuda", "layout")
        ),
        *(getattr(T, name).__get__ for name in ("is_mps", "is_quantized", "is_nested", "grad_fn", "is_leaf")),
        *(
            T.size,
            T.dim,
            T.ndimension,
            T.numel,
            T.stride,
            T.is_contiguous,
            T.is_floating_point,
            T.is_complex,
            T.__len__,
        ),
        *(T.new_empty, T.new_zeros, T.new_ones, T.new_full, T.new_tensor, T.element_size, T.get_device, T.is_conj),
        *(torch.is_floating_point, torch.numel, T.__hash__, T.__repr__, torch.is_complex),
    }
)
"""Questions about a tensor that read no values: answered by the plain tensor."""

IN_PLACE: dict[Any, Rule] = {
    **{getattr(T, f"{name}_"): getattr(T, name) for name in ("add", "sub", "mul", "div", "pow", "sigmoid", "tanh")},
    **{getattr(T, f"{name}_"): getattr(T, name) for name in ("clamp", "exp", "relu", "neg", "sqrt", "rsqrt")},
    T.__iadd__: T.add,
    T.__isub__: T.sub,
    T.__imul__: T.mul,
    T.__itruediv__: T.div,
    torch.relu_: torch.relu,
}
"""In-place operations and the ones that compute their result."""

POINTWISE = (
    *(T.add, T.__add__, T.__radd__, torch.add, T.sub, T.__sub__, T.__rsub__, torch.sub, T.mul, T.__mul__, T.__rmul__),
    *(torch.mul, T.neg, T.__neg__, T.abs, torch.abs, T.exp, torch.exp, T.__rpow__),
    *(T.square, torch.square, T.sigmoid, torch.sigmoid, F.sigmoid, F.softplus, F.logsigmoid, T.clamp, torch.clamp),
    *(torch.addcmul, T.addcmul, T.lerp, torch.lerp, torch.maximum, torch.minimum, T.log1p),
)
SINGULAR = (
    *(T.div, T.__truediv__, T.__rtruediv__, torch.div, torch.true_divide, T.pow, T.__pow__, torch.pow, T.sqrt),
    *(torch.sqrt, T.rsqrt, torch.rsqrt, T.reciprocal, torch.reciprocal, torch.log, T.log),
)
ACTIVATIONS = (
    *(F.relu, torch.relu, T.relu, F.relu6, F.silu, F.gelu, F.hardswish, F.leaky_relu, F.elu, F.selu),
    *(smoothed_relu, F.celu, F.mish, F.hardtanh, torch.tanh, T.tanh, F.tanh, F.prelu, torch.prelu),
)
_COPIES = (T.float, T.half, T.bfloat16, T.double, T.to, T.type_as, T.type, T.contiguous, T.clone, torch.clone, T.detach)

RULES: dict[Any, Rule] = {
    **dict.fromkeys(POINTWISE, elementwise),
    **dict.fromkeys(SINGULAR, singular),
    **dict.fromkeys(ACTIVATIONS, activation),
    F.hardsigmoid: gate,
    **dict.fromkeys(_COPIES, copied),
    **dict.fromkeys((F.dropout, F.dropout2d, F.alpha_dropout), dropout),
    **dict.fromkeys((F.linear, F.layer_norm, F.rms_norm), channelwise),
    F.conv2d: convolution.convolution,
    F.batch_norm: norms.batch_norm,
    F.group_norm: norms.group_norm,
    F.max_pool2d: pooling.max_pool,
    F.avg_pool2d: pooling.average_pool,
    F.adaptive_avg_pool2d: pooling.global_or_window,
    F.adaptive_max_pool2d: pooling.global_max,
    **dict.fromkeys((T.sum, torch.sum), reductions.total),
    **dict.fromkeys((T.norm, torch.norm), reductions.norm),
    F.normalize: reductions.normalize,
    **dict.fromkeys((T.var, torch.var), reductions.variance),
    **dict.fromkeys((T.softmax, torch.softmax, F.softmax), reductions.softmax),
    **dict.fromkeys((T.matmul, torch.matmul, T.__matmul__, torch.bmm, T.bmm), attention.product),
    F.scaled_dot_product_attention: attention.attention,
    **dict.fromkeys((T.mean, torch.mean), reductions.mean),
    **dict.fromkeys((T.amax, torch.amax), reductions.maximum),
    **dict.fromkeys((T.permute, torch.permute), shapes.permute),
    **dict.fromkeys((T.transpose, torch.transpose, torch.swapaxes), shapes.transpose),
    **dict.fromkeys((T.reshape, T.view, torch.reshape), shapes.reshape),
    **dict.fromkeys((T.flatten, torch.flatten), shapes.flatten),
    **dict.fromkeys((T.unsqueeze, torch.unsqueeze), shapes.unsqueeze),
    **dict.fromkeys((T.squeeze, torch.squeeze), shapes.squeeze),
    **dict.fromkeys((T.chunk, torch.chunk), shapes.chunk),
    **dict.fromkeys((T.split, torch.split), shapes.split),
    **dict.fromkeys((T.unbind, torch.unbind), shapes.unbind),
    **dict.fromkeys((torch.cat, torch.concat), shapes.concatenate),
    torch.stack: shapes.stack,
    T.expand_as: shapes.expand_as,
    F.pad: shapes.pad,
    F.interpolate: shapes.resize,
    T.__getitem__: shapes.take,
}
"""Rules by intercepted function. Each takes the function and its arguments, masked ones as `Masked`."""

"""Matrix products and attention over merged height-width tokens."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from unmask.encoders.dense.elementwise import agree
from unmask.encoders.dense.layout import Masked, UnsupportedError, zeroed


def product(func: Callable[..., Tensor], one: Any, two: Any) -> Any:
    """Matrix products: a sum over tokens sees only visible ones (hidden ones are 0); a product at
    each token stays masked.

    The product of all pairs of tokens would be masked along two dimensions and is refused.
    """
    left = one.values if isinstance(one, Masked) else one
    right = two.values if isinstance(two, Masked) else two
    if left.ndim != right.ndim and not (isinstance(one, Masked) and right.ndim == 2):
        raise UnsupportedError("its arguments have different numbers of dimensions")
    rows, inner = _role(one, -2), _role(one, -1)
    inner_too, columns = _role(two, -2), _role(two, -1)
    values = torch.matmul(left, right)
    if inner or inner_too:
        if not (inner and inner_too) and isinstance(one, Masked) and isinstance(two, Masked):
            raise UnsupportedError("it sums tokens against something else")
        return values
    if rows and columns:
        raise UnsupportedError("all pairs of tokens would be masked along two dimensions")
    if rows:
        return zeroed(values, one.layout)
    if columns:
        return zeroed(values, two.layout)
    raise UnsupportedError("it mixes height and width")


def attention(
    func: Callable[..., Tensor], query: Any, key: Any, value: Any, attn_mask: Tensor | None = None, **kwargs: Any
) -> Masked:
    """Scaled dot-product attention in which no token attends to hidden ones."""
    parts = (query, key, value)
    if not all(isinstance(p, Masked) and _role(p, -2) and p.layout.axes[0] == 0 for p in parts):
        raise UnsupportedError("queries, keys and values must be [B, heads, tokens, channels] of one grid")
    layout = agree([query, key, value])
    batch, height, width = layout.hidden.shape
    shut = layout.hidden.reshape(batch, *[1] * (query.values.ndim - 2), height * width)
    if attn_mask is None:
        attn_mask = ~shut
    else:
        attn_mask = attn_mask & ~shut if attn_mask.dtype == torch.bool else attn_mask.masked_fill(shut, float("-inf"))
    values = F.scaled_dot_product_attention(
        query.values, key.values, value.values, attn_mask.expand(*attn_mask.shape[:-2], height * width, -1), **kwargs
    )
    return zeroed(values, replace(layout, axes=(0, values.ndim - 2)))


def _role(x: Any, dim: int) -> bool:
    """Whether a dimension of a tensor is that of its tokens."""
    return isinstance(x, Masked) and len(x.layout.axes) == 2 and x.layout.axes[1] == x.values.ndim + dim

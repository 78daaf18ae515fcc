"""A tensor that carries its mask through any module's code: support by operation, never by model name."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from unmask.encoders.dense.layout import Layout, Masked, UnsupportedError
from unmask.encoders.dense.rules import IN_PLACE, QUERIES, RULES


class MaskedTensor(Tensor):
    """Values with a mask. Every call on it is dispatched to a rule of `unmask.encoders.dense`, or refused."""

    plain: Tensor
    layout_: Layout

    @classmethod
    def wrap(cls, masked: Masked) -> "MaskedTensor":
        """Carry a mask along; shares the values' storage."""
        result = masked.values.as_subclass(cls)
        result.plain, result.layout_ = masked.values, masked.layout
        return result

    @property
    def masked(self) -> Masked:
        """Values and layout."""
        return Masked(self.plain, self.layout_)

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Dispatch on the operation."""
        if func in QUERIES:
            return func(*map_leaves(args, _plain), **map_leaves(kwargs or {}, _plain))
        in_place = func in IN_PLACE
        rule = RULES.get(IN_PLACE.get(func, func))
        if rule is None:
            raise UnsupportedError(f"{name_of(func)} is not among the operations honored on masked tensors")
        try:
            result = rule(IN_PLACE.get(func, func), *map_leaves(args, _masked), **map_leaves(kwargs or {}, _masked))
        except (UnsupportedError, TypeError) as error:
            raise UnsupportedError(f"{name_of(func)}: {error}") from error
        if in_place:
            args[0].plain, args[0].layout_ = result.values, result.layout
            return args[0]
        return map_leaves(result, _wrapped)


def masked_images(images: Tensor, layout: Layout) -> MaskedTensor:
    """Images [B, C, H, W] whose hidden pixels are zeroed and marked."""
    values = torch.empty_like(images).copy_(images.masked_fill(layout.broadcast(4), 0))  # keeps the memory format
    return MaskedTensor.wrap(Masked(values, layout))


def name_of(func: Callable[..., Any]) -> str:
    """A readable name of an intercepted function."""
    owner = getattr(func, "__objclass__", None)
    name = getattr(func, "__name__", str(func))
    return f"Tensor.{name}" if owner is not None else name


def map_leaves(value: Any, change: Callable[[Any], Any]) -> Any:
    """Apply `change` to the leaves of nested lists, tuples and dicts."""
    if isinstance(value, torch.Size):
        return value
    if isinstance(value, (list, tuple)):
        return type(value)(map_leaves(v, change) for v in value)
    if isinstance(value, dict):
        return {key: map_leaves(v, change) for key, v in value.items()}
    return change(value)


def _plain(value: Any) -> Any:
    return value.plain if isinstance(value, MaskedTensor) else value


def _masked(value: Any) -> Any:
    return Masked(value.plain, value.layout_) if isinstance(value, MaskedTensor) else value


def _wrapped(value: Any) -> Any:
    return MaskedTensor.wrap(value) if isinstance(value, Masked) else value

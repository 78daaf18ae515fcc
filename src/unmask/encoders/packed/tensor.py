"""A tensor kept as tiles that runs through any module's code."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from unmask.encoders.dense.layout import UnsupportedError
from unmask.encoders.dense.rules import IN_PLACE, QUERIES
from unmask.encoders.dense.tensor import map_leaves, name_of
from unmask.encoders.packed.rules import RULES, SHAPES
from unmask.encoders.packed.tiled_map import Packed


class PackedTensor(Tensor):
    """Tiles of visible cells, seen by the model's code as the map [B, C, H, W] that they stand for."""

    packed: Packed

    @classmethod
    def wrap(cls, packed: Packed) -> "PackedTensor":
        """Carry the tiles along; shares storage."""
        result = packed.values.as_subclass(cls)
        result.packed = packed
        return result

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Dispatch on the operation."""
        kwargs = kwargs or {}
        if func in SHAPES:
            return SHAPES[func](args[0].packed.shape, *args[1:], **kwargs)
        if func in QUERIES:
            return func(*map_leaves(args, _values), **map_leaves(kwargs, _values))
        plain = IN_PLACE.get(func, func)
        rule = RULES.get(plain)
        if rule is None:
            raise UnsupportedError(f"{name_of(func)} is not among the operations of packed execution")
        try:
            result = rule(plain, *map_leaves(args, _packed), **map_leaves(kwargs, _packed))
        except (UnsupportedError, TypeError) as error:
            raise UnsupportedError(f"{name_of(func)}: {error}") from error
        if func in IN_PLACE:
            args[0].packed = result
            return args[0]
        return map_leaves(result, _wrapped)


def _values(value: Any) -> Any:
    return value.packed.values if isinstance(value, PackedTensor) else value


def _packed(value: Any) -> Any:
    return value.packed if isinstance(value, PackedTensor) else value


def _wrapped(value: Any) -> Any:
    return PackedTensor.wrap(value) if isinstance(value, Packed) else value

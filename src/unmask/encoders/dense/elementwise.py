"""Operations that act on each position separately: the result is masked like its arguments."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

from unmask.encoders.dense.layout import Layout, Masked, UnsupportedError, zeroed


def elementwise(func: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Masked:
    """Apply `func` to the values, broadcasting plain tensors, and hide again (a bias or a sigmoid is not 0 at 0)."""
    masked = [a for a in (*args, *kwargs.values()) if isinstance(a, Masked)]
    layout = agree(masked)
    values = func(*[_values(a) for a in args], **{k: _values(v) for k, v in kwargs.items()})
    if values.ndim != max(m.values.ndim for m in masked):
        raise UnsupportedError("a plain tensor with more dimensions would shift the mask")
    return zeroed(values, layout)


def singular(func: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Masked:
    """Elementwise operations that may be infinite, or have an infinite slope, at 0: hidden positions are 1 inside."""
    safe = [replace(a, values=a.filled(1.0)) if isinstance(a, Masked) else a for a in args]
    return elementwise(func, *safe, **kwargs)


def activation(func: Callable[..., Tensor], x: Masked, *args: Any, **kwargs: Any) -> Masked:
    """Activations with f(0) = 0, so that hidden positions stay 0 by themselves.

    The `inplace` flag is dropped: the values may be needed by a hook or another branch.
    """
    args, kwargs = _out_of_place(args, kwargs)
    return Masked(func(x.values, *args, **kwargs), x.layout)


def gate(func: Callable[..., Tensor], x: Masked, *args: Any, **kwargs: Any) -> Masked:
    """Activations with f(0) != 0."""
    args, kwargs = _out_of_place(args, kwargs)
    return zeroed(func(x.values, *args, **kwargs), x.layout)


def copied(func: Callable[..., Tensor], x: Masked, *args: Any, **kwargs: Any) -> Masked:
    """Copies and changes of type, device or memory order."""
    return Masked(func(x.values, *[_values(a) for a in args], **kwargs), x.layout)


def _out_of_place(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return tuple(a for a in args if a is not True), {key: v for key, v in kwargs.items() if key != "inplace"}


def dropout(
    func: Callable[..., Tensor], x: Masked, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Masked:
    """Dropout keeps zeros."""
    return Masked(func(x.values, p, training), x.layout)


def channelwise(func: Callable[..., Tensor], x: Masked, *args: Any, **kwargs: Any) -> Masked:
    """Apply `func`, which mixes the last dimension only, to channels-last values (linear layers, layer_norm)."""
    shape = args[0] if args and not isinstance(args[0], Tensor) else kwargs.get("normalized_shape", (0,))
    if any(axis >= x.values.ndim - len(shape) for axis in x.layout.axes):
        raise UnsupportedError("it mixes positions")
    return zeroed(func(x.values, *args, **kwargs), x.layout)


def agree(masked: list[Masked]) -> Layout:
    """The common layout of some masked tensors."""
    first = max(masked, key=lambda m: m.values.ndim)
    for other in masked:
        shift = first.values.ndim - other.values.ndim
        axes = tuple(axis + shift for axis in other.layout.axes)
        same = other.layout.cells is first.layout.cells and axes == first.layout.axes
        if not same or not _equal(other.layout.hidden, first.layout.hidden):
            raise UnsupportedError("its arguments are masked differently")
    return first.layout


def _equal(one: Tensor, other: Tensor) -> bool:
    return one is other or (one.shape == other.shape and bool((one == other).all()))


def _values(argument: Any) -> Any:
    return argument.values if isinstance(argument, Masked) else argument

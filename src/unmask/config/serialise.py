"""Configurations to and from plain JSON values. Unknown, missing and mistyped fields are user errors with a path."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from unmask.errors import UserError

T = TypeVar("T")


def to_json(config: Any) -> Any:
    """A configuration as plain JSON values (dicts, lists, numbers, strings, booleans, None)."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {f.name: to_json(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, Mapping):
        return {str(k): to_json(v) for k, v in config.items()}
    if isinstance(config, list | tuple):
        return [to_json(v) for v in config]
    return str(config) if isinstance(config, Path) else config


def from_json(kind: type[T], value: Any, path: str = "") -> T:
    """The inverse of `to_json`: `from_json(type(c), to_json(c)) == c` for every configuration c.

    Raises:
        UserError: a field is unknown, has the wrong type, or its value is not allowed; the message names it.
    """
    here = path or kind.__name__
    if not isinstance(value, Mapping):
        raise UserError(f"{here}: expected an object with the fields of {kind.__name__}, found {value!r}")
    hints = typing.get_type_hints(kind)
    names = {f.name for f in dataclasses.fields(typing.cast(Any, kind))}
    if unknown := sorted(set(value) - names):
        raise UserError(f"{here}: unknown field {unknown[0]!r}; the fields are {', '.join(sorted(names))}")
    fields = {name: _convert(hints[name], item, f"{here}.{name}") for name, item in value.items()}
    try:
        return kind(**fields)
    except TypeError as error:
        raise UserError(f"{here}: {error}") from error
    except UserError as error:
        raise UserError(f"{path}: {error}" if path else str(error)) from None


def _convert(hint: Any, value: Any, path: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(typing.get_args(hint), value, path)
    if dataclasses.is_dataclass(hint):
        return from_json(typing.cast(type, hint), value, path)
    if origin is Literal:
        return _expect(value in typing.get_args(hint), value, path, f"one of {typing.get_args(hint)}")
    if origin is tuple:
        return _convert_tuple(typing.get_args(hint), value, path)
    if origin is dict:
        return dict(_expect(isinstance(value, Mapping), value, path, "an object"))
    if hint is Any:
        return value
    return _convert_scalar(hint, value, path)


def _convert_scalar(hint: Any, value: Any, path: str) -> Any:
    if hint is float:
        return float(_expect(isinstance(value, int | float) and not isinstance(value, bool), value, path, "a number"))
    if hint is int:
        return _expect(isinstance(value, int) and not isinstance(value, bool), value, path, "a whole number")
    if hint is Path:
        return Path(_expect(isinstance(value, str), value, path, "a path"))
    return _expect(isinstance(value, hint), value, path, f"a value of type {getattr(hint, '__name__', hint)}")


def _convert_tuple(args: tuple[Any, ...], value: Any, path: str) -> tuple[Any, ...]:
    _expect(isinstance(value, list | tuple), value, path, "a list")
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(_convert(args[0], item, f"{path}[{i}]") for i, item in enumerate(value))
    _expect(len(value) == len(args), value, path, f"a list of {len(args)}")
    return tuple(_convert(arg, item, f"{path}[{i}]") for i, (arg, item) in enumerate(zip(args, value, strict=True)))


def _convert_union(args: tuple[Any, ...], value: Any, path: str) -> Any:
    if value is None and type(None) in args:
        return None
    candidates = [arg for arg in args if arg is not type(None)]
    for arg in candidates[:-1]:
        try:
            return _convert(arg, value, path)
        except UserError:
            continue
    return _convert(candidates[-1], value, path)


def _expect(condition: bool, value: Any, path: str, wanted: str) -> Any:
    if not condition:
        raise UserError(f"{path}: expected {wanted}, found {value!r}")
    return value

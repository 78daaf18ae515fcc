"""Dataclasses to and from plain JSON values. Unknown, missing and mistyped fields are user errors with a path."""

import dataclasses
import json
import math
import re
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from unmask.errors import UserError

T = TypeVar("T")
DEEPEST = 64
"""Deepest nesting of lists and objects in JSON that is read."""
_TOO_DEEP = f"lists and objects are nested more than {DEEPEST} deep"
_HALF = re.compile(r"[\ud800-\udfff]")
_ROUNDING = 1e-6
"""How far rounding may put a number beyond its range."""


@dataclasses.dataclass(frozen=True)
class Between:
    """Marks a number of a record that has a range, as `Annotated[float, Between(0, 1)]`; `from_json` checks it."""

    low: float
    high: float = math.inf

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}" if self.high < math.inf else f"{self.low:g} or more"

    def holds(self, value: float) -> bool:
        """Whether a number is in the range, up to rounding."""
        return self.low - _ROUNDING <= value <= self.high + _ROUNDING


def parse_json(text: str) -> Any:
    """JSON text as plain values, without loss, all of which can be written again.

    Raises:
        ValueError: it is not JSON, an object repeats a key, a text is not Unicode (half of a surrogate pair), or lists
            and objects are nested too deep. The message says which.
    """
    try:
        values = json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    _require_plain(values, DEEPEST)
    return values


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"an object has the key {shown(next(n for n in names if names.count(n) > 1))} twice")
    for name in found:
        _require_plain(name, 0)
    return found


def _require_plain(value: Any, deepest: int) -> None:
    if isinstance(value, str) and _HALF.search(value):
        raise ValueError(f"the text {shown(value)} is not Unicode")
    if isinstance(value, dict | list):
        if deepest == 0:
            raise ValueError(_TOO_DEEP)
        for item in value.values() if isinstance(value, dict) else value:
            _require_plain(item, deepest - 1)


def to_json(config: Any) -> Any:
    """A configuration as plain JSON values (dicts, lists, numbers, strings, booleans, None)."""
    if isinstance(config, PathLike):
        return fspath(config)
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {f.name: to_json(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, Mapping):
        return {str(k): to_json(v) for k, v in config.items()}
    if isinstance(config, list | tuple):
        return [to_json(v) for v in config]
    return config


def from_json(kind: type[T], value: Any, path: str = "") -> T:
    """The inverse of `to_json`: `from_json(type(c), to_json(c)) == c` for every configuration or record c.

    Args:
        kind: a dataclass of numbers, strings, booleans, paths, tuples, dictionaries by string, and further dataclasses.
        value: plain JSON values. Fields that have a default may be missing; see `require_complete`.
        path: location of the value. Messages begin with it; if it ends in a blank, the field's name follows.

    Raises:
        UserError: a field is unknown or missing, has the wrong type, or its value is not allowed; the message names it.
    """
    here = path or kind.__name__
    if not isinstance(value, Mapping):
        raise UserError(f"{_begin(here)}expected an object with the fields of {kind.__name__}, found {shown(value)}")
    hints = typing.get_type_hints(kind, include_extras=True)
    known = {f.name: f for f in dataclasses.fields(typing.cast(Any, kind))}
    if unknown := sorted(set(value) - set(known)):
        raise UserError(f"{_begin(here)}unknown field {shown(unknown[0])}; the fields are {', '.join(sorted(known))}")
    fields = {name: convert(hints[name], item, _below(here, name)) for name, item in value.items()}
    nothing = dataclasses.MISSING
    for name, one in known.items():
        if name not in value and one.default is nothing and one.default_factory is nothing:
            raise UserError(f"{_begin(here)}the field {name!r} is missing")
    try:
        return kind(**fields)
    except UserError as error:
        raise UserError(f"{_begin(path)}{error}") from None


def require_complete(value: Any, read: Any, path: str = "") -> None:
    """Raise UserError unless `value` names every field of the dataclasses `read` from it, including defaults.

    A file written by a program has all fields: a file without one was altered, and must not be read as the default.
    """
    if not isinstance(value, Mapping):
        pairs = zip(value, read, strict=True) if isinstance(value, list) else ()
        for index, (one, other) in enumerate(pairs):
            require_complete(one, other, f"{path}[{index}]")
        return
    plain = isinstance(read, Mapping)
    for name in read if plain else (f.name for f in dataclasses.fields(read)):
        if name not in value:
            raise UserError(f"{_begin(path)}the field {name!r} is missing")
        require_complete(value[name], read[name] if plain else getattr(read, name), _below(path, name))


def _begin(path: str) -> str:
    return path if not path or path.endswith(" ") else f"{path}: "


def _below(path: str, name: str) -> str:
    return f"{path}{name}" if not path or path.endswith(" ") else f"{path}.{name}"


def shown(value: object) -> str:
    """A value as messages show it, cut to 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def freeze(value: Any) -> Any:
    """JSON values with lists as tuples, so that a configuration equals itself read back."""
    if isinstance(value, dict):
        return {key: freeze(item) for key, item in value.items()}
    return tuple(freeze(item) for item in value) if isinstance(value, list | tuple) else value


def convert(hint: Any, value: Any, path: str) -> Any:
    """A plain JSON value as one of the type `hint`. Raises a UserError that begins with `path`."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _convert_marked(args, value, path)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(args, value, path)
    if dataclasses.is_dataclass(hint):
        return from_json(typing.cast(type, hint), value, path)
    if origin is Literal:
        return _expect(value in args, value, path, f"one of {args}")
    if origin is Sequence:
        return _convert_tuple((args[0], ...), value, path)
    if origin is tuple:
        return _convert_tuple(args, value, path)
    if origin is dict:
        items = dict(_expect(isinstance(value, Mapping), value, path, "an object")).items()
        return {name: convert(args[1], item, _below(path, name)) for name, item in items}
    if hint is Any:
        _require_finite(value, path)
        return value
    return _convert_scalar(hint, value, path)


def _convert_marked(args: tuple[Any, ...], value: Any, path: str) -> Any:
    found = convert(args[0], value, path)
    for mark in args[1:]:
        if isinstance(mark, Between):
            _expect(mark.holds(found), value, path, str(mark))
    return found


def _require_finite(value: Any, path: str) -> None:
    """Raise UserError if values of any type hold a number that is not finite."""
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        _require_finite(item, _below(path, str(name)))
    _expect(not isinstance(value, float) or math.isfinite(value), value, path, "a finite number")


def _convert_scalar(hint: Any, value: Any, path: str) -> Any:
    if hint is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return float(_expect(number and abs(value) <= sys.float_info.max, value, path, "a finite number"))
    if hint is int:
        return _expect(isinstance(value, int) and not isinstance(value, bool), value, path, "a whole number")
    if hint is Path:
        return Path(_expect(isinstance(value, str), value, path, "a path"))
    wanted = {str: "text", bool: "true or false", type(None): "null"}.get(hint, f"a value of type {hint}")
    return _expect(isinstance(value, hint), value, path, wanted)


def _convert_tuple(args: tuple[Any, ...], value: Any, path: str) -> tuple[Any, ...]:
    _expect(isinstance(value, list | tuple), value, path, "a list")
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(convert(args[0], item, f"{path}[{i}]") for i, item in enumerate(value))
    _expect(len(value) == len(args), value, path, f"a list of {len(args)}")
    return tuple(convert(arg, item, f"{path}[{i}]") for i, (arg, item) in enumerate(zip(args, value, strict=True)))


def _convert_union(args: tuple[Any, ...], value: Any, path: str) -> Any:
    if value is None and type(None) in args:
        return None
    candidates = [arg for arg in args if arg is not type(None)]
    if isinstance(value, Mapping) and (kinds := [arg for arg in candidates if dataclasses.is_dataclass(arg)]):
        return convert(_likest(kinds, value), value, path)
    if type(value) in candidates:  # a whole number stays one even if decimals are allowed
        return convert(type(value), value, path)
    for arg in candidates[:-1]:
        try:
            return convert(arg, value, path)
        except UserError:
            continue
    return convert(candidates[-1], value, path)


def _likest(kinds: Sequence[Any], value: Mapping[str, Any]) -> Any:
    """The dataclass that an object is meant to be: the first with its name, else the one with most of its fields."""

    def fields_of(kind: Any) -> dict[str, Any]:
        return {one.name: one.default for one in dataclasses.fields(kind)}

    named = [kind for kind in kinds if "name" in value and fields_of(kind).get("name") == value["name"]]
    return max(named or kinds, key=lambda kind: len(set(fields_of(kind)) & set(value)))


def _expect(condition: bool, value: Any, path: str, wanted: str) -> Any:
    if not condition:
        raise UserError(f"{_begin(path)}expected {wanted}, found {shown(value)}")
    return value

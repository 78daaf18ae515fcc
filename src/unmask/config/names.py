"""Names of a configuration's fields when they are given one by one: as flags or as keyword arguments.

A section (a dataclass within another) has no name of its own: `mask_ratio`, not `recipe.mask.mask_ratio`. The two
recipes of a comparison, whose fields have the same names, keep theirs: `pretrain.lr`, `finetune.lr`.
"""

import dataclasses
import difflib
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from unmask.config.serialize import convert, to_json
from unmask.errors import UserError

T = TypeVar("T")


@dataclass(frozen=True)
class OneOf:
    """Marks a field whose values are names, with those allowed."""

    names: tuple[str, ...]


_NAMED_SECTIONS = ("pretrain", "finetune")


def is_section(hint: Any) -> bool:
    """Whether a field of this type is itself a configuration."""
    return isinstance(hint, type) and dataclasses.is_dataclass(hint)


def keeps_its_name(name: str) -> bool:
    """Whether the fields of the section with this name are prefixed with its name and a dot."""
    return name in _NAMED_SECTIONS


def is_settable(hint: Any) -> bool:
    """Whether a field of this type has a name: lists of configurations have none."""
    return not any(is_section(argument) for argument in typing.get_args(hint))


def is_object(hint: Any) -> bool:
    """Whether a field of this type is a JSON object."""
    return dict in (typing.get_origin(hint), *map(typing.get_origin, typing.get_args(hint)))


def names_of(kind: type[Any], prefix: str = "") -> Iterator[str]:
    """The names of all fields of a configuration when given one by one."""
    for name, hint in typing.get_type_hints(kind).items():
        if is_section(hint):
            yield from names_of(hint, f"{prefix}{name}." if keeps_its_name(name) else prefix)
        elif is_settable(hint):
            yield prefix + name


def change(config: T, changes: Mapping[str, Any]) -> T:
    """The configuration with some fields replaced, each by its name.

    A section may be given whole: `mask=MaskConfig(cell=4)`. Fields of the two named ones are given as a mapping:
    `finetune={"lr": 1e-4}`.

    Raises:
        UserError: a name is unknown (the message suggests the nearest), or a value has a wrong type or is not allowed.
    """
    rest = dict(changes)
    changed = _take(config, rest)
    for name in rest:
        known = list(names_of(type(config)))
        inner = [one for one in known if one.endswith(f".{name}")]
        near = inner or difflib.get_close_matches(name, known, n=3)
        hint = f"; perhaps you meant {' or '.join(near)}" if near else ""
        raise UserError(f"{name!r} is not a field of {type(config).__name__}{hint}")
    return changed


def _take(config: T, rest: dict[str, Any]) -> T:
    """`change` applied to this configuration and its sections; what applies is removed from `rest`."""
    new: dict[str, Any] = {}
    for name, hint in typing.get_type_hints(type(config)).items():
        if is_section(hint):
            section = rest.pop(name) if isinstance(rest.get(name), hint) else getattr(config, name)
            inner = change(section, rest.pop(name, {})) if keeps_its_name(name) else _take(section, rest)
            new[name] = inner
        elif name in rest:
            new[name] = convert(hint, to_json(rest.pop(name)), name)
    return dataclasses.replace(typing.cast(Any, config), **new)

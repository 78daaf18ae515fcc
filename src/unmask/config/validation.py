"""Checks used when a configuration is created: a wrong value names the field, the value and the allowed range."""

import math
import typing
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

from unmask.errors import UserError


def require(condition: bool, field: str, value: object, allowed: str) -> None:
    """Raise `UserError` that names field, value and the allowed values unless `condition` holds."""
    if not condition:
        raise UserError(f"{field} = {value!r} is out of range: expected {allowed}")


def require_between(
    field: str, value: float, low: float, high: float, *, open_low: bool = False, open_high: bool = False
) -> None:
    """Require low <= value <= high (strict where open). NaN is never allowed."""
    above = value > low if open_low else value >= low
    below = value < high if open_high else value <= high
    brackets = f"{'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"
    require(value == value and above and below, field, value, brackets)


def require_finite(field: str, value: object) -> None:
    """Require that a value is not an infinite number or NaN, which config.json cannot hold."""
    require(not isinstance(value, float) or math.isfinite(value), field, value, "a finite number")


def require_at_least(field: str, value: float, low: float) -> None:
    """Require a finite value >= low."""
    require((isinstance(value, int) or math.isfinite(value)) and value >= low, field, value, f"at least {low:g}")


def require_least(config: Any, **lows: float) -> None:
    """Require a finite value of at least the given low for each field named. None is allowed."""
    for field, low in lows.items():
        if (value := getattr(config, field)) is not None:
            require_at_least(field, value, low)


def require_ranges(config: Any, **ranges: str) -> None:
    """Require each field named, or each number of a tuple, to lie in an interval: lr="(0, 10]"."""
    for field, interval in ranges.items():
        low, high = map(float, interval[1:-1].split(","))
        value = getattr(config, field)
        for number in value if isinstance(value, tuple) else () if value is None else (value,):
            require_between(field, number, low, high, open_low=interval[0] == "(", open_high=interval[-1] == ")")


def require_choices(config: Any) -> None:
    """Require one of the values that a field's type names, as Literal["a", "b"] does; for a tuple, of each item."""
    kind: Any = type(config)
    for field, choices in _choices(kind).items():
        value = getattr(config, field)
        for one in value if isinstance(value, tuple) else () if value is None else (value,):
            require_choice(field, one, choices)


@cache
def _choices(kind: Any) -> dict[str, tuple[str, ...]]:
    """The values of each field of a class whose type names them, with or without None."""
    found: dict[str, tuple[str, ...]] = {}
    for field, hint in typing.get_type_hints(kind).items():
        for one in (hint, *typing.get_args(hint)):
            if typing.get_origin(one) is Literal:
                found[field] = typing.get_args(one)
    return found


def require_choice(field: str, value: str, choices: Sequence[str]) -> None:
    """Require one of the named choices."""
    require(value in choices, field, value, "one of " + ", ".join(choices))


def require_seed(field: str, value: int) -> None:
    """Require a non-negative whole number that fits a signed 64-bit integer, as generators need."""
    require(0 <= value < 2**63, field, value, "0 to 2^63 - 1")


def require_utf_8(field: str, path: str) -> None:
    """Require a path whose name is text: others cannot be written into tables and pages or opened by safetensors."""
    good = path == path.encode("utf-8", "replace").decode()
    require(good, field, path, "a UTF-8 path; rename it, or link to it under another name")

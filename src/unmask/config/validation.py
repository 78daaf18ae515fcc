"""Checks used when a configuration is created: a wrong value names the field, the value and the allowed range."""

import math
from collections.abc import Sequence

from unmask.errors import UserError


def require(condition: bool, field: str, value: object, allowed: str) -> None:
    """Raise `UserError` that names field, value and the allowed values unless `condition` holds."""
    if not condition:
        raise UserError(f"{field} = {value!r} is out of range: allowed is {allowed}")


def require_between(
    field: str, value: float, low: float, high: float, *, open_low: bool = False, open_high: bool = False
) -> None:
    """Require low <= value <= high (strict where open). NaN is never allowed."""
    above = value > low if open_low else value >= low
    below = value < high if open_high else value <= high
    brackets = f"{'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"
    require(value == value and above and below, field, value, brackets)


def require_at_least(field: str, value: float, low: float) -> None:
    """Require a finite value >= low."""
    require((isinstance(value, int) or math.isfinite(value)) and value >= low, field, value, f"at least {low:g}")


def require_choice(field: str, value: str, choices: Sequence[str]) -> None:
    """Require one of the named choices."""
    require(value in choices, field, value, "one of " + ", ".join(choices))


def require_seed(field: str, value: int) -> None:
    """Require a whole number from 0 that a signed integer of 64 bits holds, as generators take it."""
    require(0 <= value < 2**63, field, value, "0 to 2^63 - 1")


def require_utf_8(field: str, path: str) -> None:
    """Require a path whose name is text: others cannot be written into tables and pages, nor opened by safetensors."""
    good = path == path.encode("utf-8", "replace").decode()
    require(good, field, path, "a path of UTF-8; rename it, or link to it under another name")

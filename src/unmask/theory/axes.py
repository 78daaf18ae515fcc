"""Axes of a sweep: NAME=LOW:HIGH:COUNT or NAME=A,B,C over any field of a setting or of its data."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from math import isfinite

import torch

from unmask.errors import UserError
from unmask.theory.distribution import Distribution
from unmask.theory.setting import Setting

Axis = tuple[str, list[float]]


def parse_axes(texts: Sequence[str]) -> list[Axis]:
    """All axes of a sweep; no name may appear twice."""
    axes = [parse_axis(text) for text in texts]
    names = [name for name, _ in axes]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"over = {name!r} is given {names.count(name)} times; write one axis per field")
    return axes


def parse_axis(text: str) -> Axis:
    """NAME=LOW:HIGH:COUNT (equal steps, both ends included) or NAME=A,B,C → (name, values).

    Raises:
        UserError: the name is not a field; the values are not numbers, missing, not finite, or not whole although the
            field is.
    """
    name, equals, values = text.partition("=")
    if not equals or name not in _known():
        raise UserError(
            f"over = {text!r}: {name!r} is not a field; write NAME=LOW:HIGH:COUNT with a field of the setting"
        )
    numbers = _numbers(text, values)
    if not all(isfinite(v) for v in numbers):
        raise UserError(f"over = {text!r}: every value must be finite")
    if isinstance(_known()[name], int) and any(v != round(v) for v in numbers):
        shown = ", ".join(f"{v:g}" for v in numbers)
        raise UserError(f"over = {text!r}: {name} takes whole numbers, not {shown}; write {name}=A,B,C")
    return name, numbers


def _numbers(text: str, values: str) -> list[float]:
    try:
        if ":" not in values:
            return [float(v) for v in values.split(",")]
        low, high, count = values.split(":")
        start, stop, number = float(low), float(high), int(count)
    except ValueError:
        raise UserError(f"over = {text!r}: {values!r} is neither LOW:HIGH:COUNT nor A,B,C") from None
    if number < 1 or start > stop:
        raise UserError(f"over = {text!r}: the range {values!r} is empty; it needs LOW <= HIGH and COUNT >= 1")
    return [float(v) for v in torch.linspace(start, stop, number, dtype=torch.float64)]


def _known() -> dict[str, object]:
    """Fields that can be varied, with their defaults."""
    found = {f.name: f.default for f in (*fields(Setting), *fields(Distribution))}
    return {name: default for name, default in found.items() if name != "data"}


def vary(setting: Setting, changes: Mapping[str, float]) -> Setting:
    """The setting with fields changed by name, in the setting or in its data; integer fields stay integers.

    A range field (own, other, ...) is set to the value at both ends.
    """
    own: dict[str, object] = {}
    data: dict[str, object] = {}
    for name, value in changes.items():
        target, source = (data, setting.data) if hasattr(setting.data, name) else (own, setting)
        old = getattr(source, name)
        if isinstance(old, tuple):
            target[name] = (value, value)
        else:
            target[name] = type(old)(round(value)) if isinstance(old, int) else value
    return replace(setting, data=replace(setting.data, **data), **own)  # type: ignore[arg-type]

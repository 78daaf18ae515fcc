"""Any value of a record, from its type hints, and small changes to its JSON."""

import dataclasses
import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from hypothesis import strategies as st

from unmask.config import ClassifyRecipe

_SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(0, 9),
    float: st.floats(-9, 9) | st.floats(0, 1),
    bool: st.booleans(),
    str: st.text(max_size=3),
    type(None): st.none(),
    ClassifyRecipe: st.sampled_from([ClassifyRecipe(), ClassifyRecipe(mixup=0.5, head_steps=3)]),
}
_OTHER_VALUES = (None, True, 3, -0.5, float("nan"), float("inf"), "x", [], {}, [1, "y"], {"z": 1}, 10**400)


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a type as records use them."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return values_of(args[0]).filter(lambda value: all(mark.holds(value) for mark in args[1:]))
    if origin in (typing.Union, types.UnionType):
        return st.one_of([values_of(arg) for arg in args])
    if origin is Literal:
        return st.sampled_from(args)
    if origin is dict:
        return st.dictionaries(values_of(args[0]), values_of(args[1]), max_size=2)
    if origin is tuple and ... not in args:
        return st.tuples(*map(values_of, args))
    if origin is tuple:
        return st.lists(values_of(args[0]), max_size=2).map(tuple)
    if dataclasses.is_dataclass(hint) and hint not in _SCALARS:
        hints = typing.get_type_hints(hint, include_extras=True)
        fields = {field.name: values_of(hints[field.name]) for field in dataclasses.fields(hint)}
        return st.fixed_dictionaries(fields).map(lambda values: hint(**_consistent(values)))
    return _SCALARS[hint]


def _consistent(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields of a record of which some depend on each other."""
    if "method" in fields:
        low, high = fields["low"], fields["high"]
        both = None not in (low, high)
        fields |= {"low": min(low, high) if both else None, "high": max(low, high) if both else None}
    if "confusion" in fields:
        count = len(fields["per_class"])
        fields["confusion"] = tuple((i % count, j % count, n) for i, j, n in fields["confusion"] if count)
    return fields


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of everything inside JSON values."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from _places(item, (*path, key))


@st.composite
def altered(draw: st.DrawFn, value: Any) -> Any:
    """JSON values in which one place is dropped, replaced by another value, or has an unknown neighbor."""
    *above, key = draw(st.sampled_from(list(_places(value))))
    spot = value
    for name in above:
        spot = spot[name]
    change = draw(st.sampled_from(["drop", "replace", "add"]))
    if change == "drop":
        del spot[key]
    elif change == "add" and isinstance(spot, dict):
        spot["unheard_of"] = 1
    else:
        spot[key] = draw(st.sampled_from(_OTHER_VALUES))
    return value

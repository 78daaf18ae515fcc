"""How fields become flags: sections without their own name (--mask-ratio, not --recipe.mask.mask-ratio), JSON."""

import json
from typing import Any

import tyro

from unmask.errors import UserError


def parse_object(text: str) -> dict[str, Any] | None:
    """A JSON object from the command line; "none" for no object."""
    try:
        value = None if text.lower() == "none" else json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"expected a JSON object such as '{{\"name\": 1}}', found {text!r} ({error})") from None
    if value is not None and not isinstance(value, dict):
        raise UserError(f"expected a JSON object such as '{{\"name\": 1}}', found {text!r}")
    return value


def frozen(value: Any) -> Any:
    """JSON values with lists as tuples, so that a configuration equals itself read back."""
    if isinstance(value, dict):
        return {key: frozen(item) for key, item in value.items()}
    return tuple(frozen(item) for item in value) if isinstance(value, list | tuple) else value


FLAT = tyro.conf.arg(name="")
NOT_A_FLAG = tyro.conf.Suppress
OBJECT = tyro.constructors.PrimitiveConstructorSpec[Any](
    nargs=1,
    metavar="JSON",
    instance_from_str=lambda words: parse_object(words[0]),
    is_instance=lambda value: value is None or isinstance(value, dict),
    str_from_instance=lambda value: ["none" if value is None else json.dumps(value)],
)

RUNS = tyro.conf.arg(metavar="RUN [RUN ...]", help_behavior_hint="(required)")
"""Mark of a positional list of run folders, of which one at least is wanted."""

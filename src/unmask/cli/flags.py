"""How the fields of a dataclass become flags, for tyro and for the reference page.

Sections have no name of their own: `--mask-ratio`, not `--config.recipe.mask.mask-ratio`. The two recipes of a
comparison, whose fields have the same names, keep theirs: `--pretrain.lr`, `--finetune.lr`.
"""

import ast
import dataclasses
import inspect
import itertools
import json
import re
import sys
import textwrap
import typing
from collections.abc import Collection, Sequence
from contextlib import redirect_stderr
from io import StringIO
from itertools import dropwhile, takewhile
from types import SimpleNamespace
from typing import Annotated, Any, TypeVar

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, StructConstructorSpec, StructFieldSpec

from unmask.config.names import OneOf, is_object, is_section, is_settable, keeps_its_name
from unmask.config.serialize import parse_json
from unmask.errors import UserError

T = TypeVar("T")


def parse_flags(kind: type[T], program: str, words: Sequence[str], default: T | None = None) -> T:
    """An instance of `kind` from flags; other values come from `default`, else from the class.

    Raises:
        UserError: the words are wrong; the message is tyro's box as one line.
    """
    given: dict[str, Any] = {} if default is None else {"default": default}
    registry = ConstructorRegistry()
    registry.struct_rule(_fields)
    return _one_line(program, lambda: tyro.cli(kind, prog=program, args=words, registry=registry, **given))


def arguments_of(command: Any, kind: Any = None) -> dict[str, Any]:
    """Fields of a command, all or those declared in `kind`, as arguments: RUN is `run`, quiet turns `progress` off."""
    given = {field.name: getattr(command, field.name) for field in dataclasses.fields(kind or command)}
    given["run"] = given.pop("source")
    if "quiet" in given:
        given["progress"] = not given.pop("quiet")
    return given


def parse_some(kind: type[T], program: str, words: Sequence[str]) -> tuple[T, list[str]]:
    """The same for words that hold other flags too, which are also returned. --help is left for later."""
    asked = [word for word in words if word not in ("-h", "--help")]
    return _one_line(program, lambda: tyro.cli(kind, prog=program, args=asked, return_unknown_args=True))


def _one_line(program: str, parse: typing.Callable[[], T]) -> T:
    said = StringIO()
    try:
        with redirect_stderr(said):
            return parse()
    except SystemExit as end:
        if not end.code:
            raise
        raise UserError(f"{_reason(said.getvalue())}; {program} --help lists all flags") from None


def _reason(box: str) -> str:
    """The first paragraph below a box's title, and the flags that it proposes. Rules are of hyphens in ASCII."""
    lines = [re.sub("[-─]{9,}", "", line).strip("│╭╮╰╯ ") for line in box.splitlines()]
    reason = " ".join(takewhile(bool, dropwhile(lambda line: not line, lines[1:]))) or " ".join(box.split())
    near = re.findall(r"^[│ ]+(--[a-z][\w.-]*)", box.partition("Perhaps you meant")[2], re.M)
    meant = f"; perhaps you meant {' or '.join(dict.fromkeys(near))}" if near else ""
    return reason.rstrip(".") + meant


def with_flags(message: str, names: Collection[str]) -> str:
    """A message as the command line says it: --resume for `resume=True`, --image-size 8 8 for `image_size=(8, 8)`.

    Fields stand between backticks in messages; anything not in `names` is left unchanged.
    """

    def flag(match: re.Match[str]) -> str:
        name, value = match[1], match[2]
        if name.rpartition(".")[2] not in names:
            return match[0]
        shown = "" if value in (None, "True") else " " + re.sub('[(),"]', "", value)
        return f"--{name.strip('_').replace('_', '-')}{shown}"

    return re.sub("`([a-z_.]+)(?:=([^`]*))?`", flag, message)


def explanations(kind: type[Any]) -> dict[str, str]:
    """Field name → the string below it, of a dataclass and its bases, on one line."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        for field, after in itertools.pairwise(typing.cast(ast.ClassDef, body).body):
            match field, after:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[name] = " ".join(text.split())
    return found


def _fields(info: Any) -> StructConstructorSpec | None:
    """tyro's view of a dataclass: its fields, each with its explanation."""
    kind: type[Any] = info.type
    if not is_section(kind):
        return None
    hints, texts = typing.get_type_hints(kind, include_extras=True), explanations(kind)
    specs = [
        StructFieldSpec(f.name, _marked(hints[f.name], f.name), _default(f, info.default), texts.get(f.name))
        for f in dataclasses.fields(kind)
    ]
    return StructConstructorSpec(instantiate=kind, fields=tuple(specs))


def _marked(hint: Any, name: str) -> Any:
    """A field's type with tyro's marks."""
    if is_section(hint):
        return hint if keeps_its_name(name) else Annotated[hint, tyro.conf.arg(name="")]
    if not is_settable(hint):
        return Annotated[hint, tyro.conf.Suppress]
    for mark in getattr(hint, "__metadata__", ()):
        if isinstance(mark, OneOf):
            return Annotated[hint, tyro.conf.arg(metavar=f"{{{','.join(mark.names)}}} [...]")]
    return Annotated[hint, _OBJECT] if is_object(hint) else hint


def _default(field: "dataclasses.Field[Any]", instance: Any) -> Any:
    if isinstance(getattr(instance, "__dataclass_fields__", None), dict):
        return getattr(instance, field.name)
    if field.default is not dataclasses.MISSING:
        return field.default
    return tyro.MISSING if field.default_factory is dataclasses.MISSING else field.default_factory()


def defaults_of(kind: type[Any]) -> SimpleNamespace:
    """The fields of a dataclass that have defaults, with these."""
    missing = dataclasses.MISSING
    found = {f.name: f.default for f in dataclasses.fields(kind) if f.default is not missing}
    made = {f.name: f.default_factory() for f in dataclasses.fields(kind) if f.default_factory is not missing}
    return SimpleNamespace(**found, **made)


RUNS = tyro.conf.arg(metavar="RUN [RUN ...]", help_behavior_hint="(required)")
"""Marks a positional list of at least one run folder."""


def parse_object(text: str) -> dict[str, Any] | None:
    """A JSON object from the command line; "none" for no object."""
    try:
        value = None if text.lower() == "none" else parse_json(text)
    except ValueError as error:
        found = text if len(text) <= 200 else f"{text[:200]} …"
        raise UserError(f"expected a JSON object such as '{{\"name\": 1}}', found {found!r} ({error})") from None
    if value is not None and not isinstance(value, dict):
        raise UserError(f"expected a JSON object such as '{{\"name\": 1}}', found {text!r}")
    return value


_OBJECT = PrimitiveConstructorSpec[Any](
    nargs=1,
    metavar="JSON",
    instance_from_str=lambda words: parse_object(words[0]),
    is_instance=lambda value: value is None or isinstance(value, dict),
    str_from_instance=lambda value: ["none" if value is None else json.dumps(value)],
)


def print_json(value: Any) -> None:
    """Print a value as JSON in the terminal's encoding; characters that it cannot show are escaped."""
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    print(json.dumps(value, indent=1, ensure_ascii=encoding != "utf8"))

"""The page reference.md from the code: every command, flag, type, default and explanation.

    python docs/tools/reference.py              (prints it)

Nothing on that page is typed by hand. It is made whenever the site is built, so that it cannot fall behind the code; a
test compares its flags with those of the parsers.
"""

import dataclasses
import inspect
import types
import typing
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal

from unmask.cli.audit import Audit
from unmask.cli.compare import Compare
from unmask.cli.flags import explanations
from unmask.cli.main import COMMANDS
from unmask.cli.train import Finetune, Pretrain, RunFlags, Scratch
from unmask.config import (
    ARMS,
    AugmentConfig,
    ClassifyRecipe,
    DataConfig,
    EncoderConfig,
    MaskConfig,
    OptimizerConfig,
    TargetConfig,
)
from unmask.config.cluster import ClusterConfig
from unmask.config.names import OneOf, is_object, is_section, is_settable, keeps_its_name
from unmask.data.sources.multiview import MultiViewConfig
from unmask.recipes import RECIPES
from unmask.runs.summary_records import Summary
from unmask.theory.distribution import Distribution
from unmask.theory.setting import Setting

SECTIONS: dict[type[Any], str] = {
    RunFlags: "The run",
    DataConfig: "Data",
    EncoderConfig: "Encoder",
    AugmentConfig: "Augmentation",
    MaskConfig: "Mask",
    TargetConfig: "Target and decoder",
    OptimizerConfig: "Optimizer",
    ClusterConfig: "Workers elsewhere",
    ClassifyRecipe: "Training on labels",
}
BY_RECIPE = (Pretrain, Finetune, Scratch, Compare)


@dataclass(frozen=True)
class Flag:
    """One field as the command line has it."""

    name: str
    """With its prefix and dashes."""
    kind: str
    default: str
    meaning: str
    section: type[Any] | None
    """The dataclass under whose heading it stands; None: the command itself."""
    prefix: str
    """pretrain. or finetune. where the section is one of several."""


def type_name(hint: Any) -> str:
    """A type as a reader of a command line thinks of it."""
    if typing.get_origin(hint) is typing.Annotated:
        return type_name(typing.get_args(hint)[0])
    if hint is type(None):
        return "none"
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return ", ".join(type_name(arg) for arg in args)
    if origin is Literal:
        return ", ".join(str(arg) for arg in args)
    if origin is tuple:
        return f"{type_name(args[0])} ..." if args[-1] is Ellipsis else " ".join(type_name(arg) for arg in args)
    if origin is dict:
        return "JSON"
    return {"str": "text", "Path": "path", "bool": "switch"}.get(hint.__name__, hint.__name__)


def value_text(value: Any) -> str:
    """A value as it is typed after its flag."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return " ".join(value_text(item) for item in value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _default(field: "dataclasses.Field[Any]") -> str:
    if field.default is not MISSING:
        return value_text(field.default)
    return "required" if field.default_factory is MISSING else value_text(field.default_factory())


def flags(cls: type[Any], prefix: str = "", section: type[Any] | None = None) -> Iterator[Flag]:
    """Every flag of a command, in the order of the code."""
    hints, texts = typing.get_type_hints(cls, include_extras=True), explanations(cls)
    for field in fields(cls):
        hint = hints[field.name]
        marks = typing.get_args(hint)[1:] if typing.get_origin(hint) is typing.Annotated else ()
        inner = typing.get_args(hint)[0] if marks else hint
        if not is_settable(inner):
            continue
        if is_section(inner):
            below = f"{prefix}{field.name}." if keeps_its_name(field.name) else prefix
            here = inner if inner in SECTIONS else section
            yield from flags(inner, below, here)
            continue
        given = next((mark.name for mark in marks if getattr(mark, "name", None)), field.name)
        dashed = f"{prefix}{given}".replace("_", "-")
        positional = any("Positional" in str(mark) or "POSITIONAL" in str(mark) for mark in marks)
        metavar = next((mark.metavar for mark in marks if getattr(mark, "metavar", None)), given.upper())
        name = metavar if positional else f"--{dashed}"
        choices = next((", ".join(mark.names) for mark in marks if isinstance(mark, OneOf)), "")
        kind = "JSON" if is_object(inner) else choices or type_name(inner)
        yield Flag(name, kind, _default(field), texts.get(field.name, ""), section, prefix)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _table(rows: list[Flag]) -> list[str]:
    lines = ["| flag | value | default | meaning |", "|---|---|---|---|"]
    for row in rows:
        lines.append(f"| `{row.name}` | {_cell(row.kind)} | {_cell(row.default)} | {_cell(row.meaning)} |")
    return [*lines, ""]


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _command(name: str, cls: type[Any]) -> list[str]:
    paragraphs = inspect.cleandoc(cls.__doc__ or "").split("\n\n")
    lines = [f"### unmask {name}", ""]
    for paragraph in paragraphs:
        text = " ".join(paragraph.split())
        lines += [f"Example: `{text.removeprefix('Example: ')}`" if text.startswith("Example: ") else text, ""]
    rows = list(flags(cls))
    if own := [row for row in rows if row.section is None]:
        lines += _table(own)
    prefixes: dict[type[Any], list[str]] = {}
    for row in rows:
        if row.section is not None and row.prefix not in prefixes.setdefault(row.section, []):
            prefixes[row.section].append(row.prefix)
    if prefixes:
        links = []
        for section, names in prefixes.items():
            title = SECTIONS[section]
            spelled = " and ".join(f"`--{prefix}`" for prefix in names if prefix)
            links.append(f"[{title}](#{_anchor(title)})" + (f" after {spelled}" if spelled else ""))
        lines += [f"Further flags: {', '.join(links)}.", ""]
    if cls in BY_RECIPE:
        lines += ["Defaults come from the [recipe](#recipes).", ""]
    if cls is Audit:
        lines += ["The data are the first run's unless `--data` names others.", ""]
    return lines


def _recipes() -> list[str]:
    lines = [
        "## Recipes",
        "",
        "`--recipe NAME` gives the defaults of `pretrain`, `finetune`, `scratch` and `compare`; without it the data",
        "decide.",
        "Listed is every field in which some recipe differs from the defaults above. Flags win over the recipe.",
        "",
    ]
    for title, pick in (
        ("Encoder and data", lambda recipe: {**_flat(recipe.encoder), **_flat(recipe.data)}),
        ("Pretraining", lambda recipe: _flat(recipe.pretrain)),
        ("Fine-tuning", lambda recipe: _flat(recipe.finetune)),
    ):
        columns = {name: pick(make()) for name, make in RECIPES.items()}
        lines += [f"### {title} of the recipes", "", "| flag | " + " | ".join(f"`{name}`" for name in RECIPES) + " |"]
        lines += ["|---|" + "---|" * len(RECIPES)]
        plain = {flag: text for cls in SECTIONS if cls is not RunFlags for flag, text in _defaults(cls).items()}
        for flag in next(iter(columns.values())):
            values = [column[flag] for column in columns.values()]
            if any(value != plain.get(flag) for value in values) and flag != "data":
                lines.append(f"| `--{flag}` | " + " | ".join(_cell(value) for value in values) + " |")
        lines.append("")
    return lines


def _flat(config: Any) -> dict[str, str]:
    """Flag → value of a configuration without its own name in the flags."""
    found: dict[str, str] = {}
    for field in fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            found |= _flat(value)
        else:
            found[field.name.replace("_", "-")] = value_text(value)
    return found


def _defaults(cls: type[Any]) -> dict[str, str]:
    return {f.name.replace("_", "-"): _default(f) for f in fields(cls) if f.default is not MISSING}


def _plain_section(title: str, intro: str, cls: type[Any]) -> list[str]:
    texts, hints = explanations(cls), typing.get_type_hints(cls)
    lines = [f"## {title}", "", intro, "", "| name | value | default | meaning |", "|---|---|---|---|"]
    for field in fields(cls):
        if not dataclasses.is_dataclass(hints[field.name]):
            kind, default = _cell(type_name(hints[field.name])), _cell(_default(field))
            lines.append(f"| `{field.name}` | {kind} | {default} | {_cell(texts.get(field.name, ''))} |")
    return [*lines, ""]


def arm_table() -> str:
    """The table of docs/comparison.md; a test compares the two."""
    lines = ["| arm | what it is | what it controls for |", "|---|---|---|"]
    for arm in ARMS.values():
        lines.append(f"| `{arm.name}` | {arm.meaning} | {arm.controls_for} |")
    return "\n".join(lines) + "\n"


def summary_table() -> str:
    """The table of summary.json in docs/comparison.md, from its records; a test compares the two."""
    lines = ["| key | fields | meaning |", "|---|---|---|"]
    texts, hints = explanations(Summary), typing.get_type_hints(Summary)
    for field in fields(Summary):
        row = (*typing.get_args(hints[field.name]), hints[field.name])[0]
        names, more = "", [texts[field.name]]
        if dataclasses.is_dataclass(row):
            names = f"`{', '.join(one.name for one in fields(row))}`"
            own = explanations(typing.cast(type[Any], row))
            more += [f"`{one.name}`: {own[one.name]}" for one in fields(row) if one.name in own]
        lines.append(f"| `{field.name}` | {names} | {' '.join(more)} |")
    return "\n".join(lines) + "\n"


def render() -> str:
    """The page."""
    lines = [
        "# Every command and field",
        "",
        "This page is written by `docs/tools/reference.py` from the code.",
        "",
        "A switch is `--name` for on and `--no-name` for off; `--name None` is none. Fields of `config.json` have the",
        "names of the flags with underscores, and so have the settings of the [Python functions](api.md).",
        "`unmask COMMAND --help` shows the same.",
        "",
        "Exit codes: 0 done, 2 the input was wrong (one line says what and how to fix it), 130 Ctrl-C, 143 SIGTERM.",
        "1 is for findings: `data check` (training would fail), `encoders` (a law does not hold), `theory verify` (an",
        "identity or a law fails).",
        "",
        "## Commands",
        "",
    ]
    for name, cls in COMMANDS.items():
        lines += _command(name, cls)
    for cls, title in SECTIONS.items():
        lines += [f"## {title}", "", " ".join((inspect.getdoc(cls) or "").split()), ""]
        lines += _table([row for row in flags(cls) if row.section is None])
    lines += _recipes()
    lines += _plain_section(
        "Options of multiview", "`--options '{\"NAME\": VALUE}'` with `--data multiview`.", MultiViewConfig
    )
    lines += _plain_section("Settings of the theory", "`unmask theory sweep --over NAME=LOW:HIGH:COUNT`.", Setting)
    lines += _plain_section("Data of the theory", "Also for `--over`. Letters as in the paper.", Distribution)
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    print(render(), end="")

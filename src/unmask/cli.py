"""The command line: one subcommand a stage; each body is one call into the API. torch is imported by the call only."""

import difflib
import json
import os
import re
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, suppress
from dataclasses import replace
from io import StringIO, TextIOWrapper
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any, NoReturn

import tyro

import unmask
from unmask.audit.commands import Audit, data_of_runs, run_audit
from unmask.commands import (
    Compare,
    Demo,
    Finetune,
    Pretrain,
    Report,
    RunFlags,
    Scratch,
)
from unmask.config import ClassifyConfig, CompareConfig, DataConfig, PretrainConfig
from unmask.data.commands import CheckData, run_check
from unmask.deploy.commands import EmbedConfig, ExportConfig, PredictConfig, run_embed, run_export, run_predict
from unmask.encoders.commands import EncodersConfig, run_encoders
from unmask.errors import KILLED_WORKER, WORKER_MESSAGE, PreemptionError, UserError, is_out_of_memory, memory_line
from unmask.preemption import stopping_at_once
from unmask.recipes import Recipe, named, of_run, suggested, with_encoder
from unmask.theory.commands import SweepConfig, TheoryReportConfig, VerifyConfig

COMMANDS: dict[str, type[Any]] = {
    "demo": Demo,
    "pretrain": Pretrain,
    "finetune": Finetune,
    "scratch": Scratch,
    "compare": Compare,
    "audit": Audit,
    "report": Report,
    "predict": PredictConfig,
    "embed": EmbedConfig,
    "export": ExportConfig,
    "data check": CheckData,
    "encoders": EncodersConfig,
    "theory verify": VerifyConfig,
    "theory sweep": SweepConfig,
    "theory report": TheoryReportConfig,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Exit code 0: done; 2: the input was wrong; 130, 143: Ctrl-C, SIGTERM. One line says what to do."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # A name that the terminal cannot show is no reason to fail.
    try:
        with stopping_at_once():
            sys.exit(run(parse(words)))
    except BrokenPipeError as error:
        _leave_reader(error)
    except (UserError, OSError) as error:
        _leave(2, str(error))
    except PreemptionError as error:
        _leave(143, str(error))
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            _leave(2, f"{memory_line(error)}: give less at once (smaller images or batches, or --cache-mib 0)")
        if KILLED_WORKER not in str(error):
            raise
        _leave(2, WORKER_MESSAGE)
    except KeyboardInterrupt:
        _leave(130, "interrupted; go on with the same command and --resume")


def _leave(code: int, line: str) -> NoReturn:
    """End with a line and an exit code; with the code alone where the line has no place either, as on a full disk."""
    with suppress(OSError):
        print(f"unmask: {line}", file=sys.stderr)
    sys.exit(code)


def _leave_reader(error: BrokenPipeError) -> NoReturn:
    """End without a word where the reader of our output, e.g. head, has seen enough; another pipe is an error."""
    try:
        print(flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    _leave(2, str(error))


def parse(words: Sequence[str]) -> Any:
    """The command meant by the words. Defaults come from the recipe that the words name or the data suggest.

    Encoder and image size come from the run that --init or --pretrained names.
    """
    name = next((n for n in (" ".join(words[:2]), *words[:1]) if n in COMMANDS), None)
    if name is None:
        _explain(words)
    rest = list(words[len(name.split()) :])
    if name == "data check" and rest and not rest[0].startswith("-"):
        rest = ["--data", *rest]
    kind = COMMANDS[name]
    default = _default(kind, rest)
    return _parsed(kind, f"unmask {name}", rest, {} if default is None else {"default": default})


def _parsed(kind: type[Any], program: str, words: list[str], default: dict[str, Any]) -> Any:
    """What the parser makes of the words. What it has against them, in a box of many lines, is said in one."""
    said = StringIO()
    try:
        with redirect_stderr(said):
            return tyro.cli(kind, prog=program, args=words, **default)
    except SystemExit as end:
        if not end.code:
            raise
        raise UserError(f"{_in_one_line(said.getvalue())}; {program} --help tells all flags") from None


def _in_one_line(box: str) -> str:
    """The first paragraph below a box's title, and the flags that it proposes. Rules are of hyphens in ASCII."""
    lines = [re.sub("[-─]{9,}", "", line).strip("│╭╮╰╯ ") for line in box.splitlines()]
    reason = " ".join(takewhile(bool, dropwhile(lambda line: not line, lines[1:]))) or " ".join(box.split())
    near = re.findall(r"^[│ ]+(--[a-z][\w.-]*)", box.partition("Perhaps you meant")[2], re.M)
    return reason.rstrip(".") + f"; perhaps you meant {' or '.join(dict.fromkeys(near))}" * bool(near)


def _explain(words: Sequence[str]) -> NoReturn:
    """The list of commands, for no word, --help and the first word of a pair; an error for anything else."""
    first = words[0] if words else "--help"
    shown = [name for name in COMMANDS if name.split()[0] == first] or list(COMMANDS)
    if first in ("-h", "--help") or shown != list(COMMANDS):
        print("usage: unmask COMMAND [--flags]; unmask COMMAND --help tells the flags with their defaults\n")
        for name in shown:
            print(f"  {name:15s} {(COMMANDS[name].__doc__ or '').splitlines()[0]}")
        sys.exit(0 if first in ("-h", "--help") or (len(words) > 1 and words[1] in ("-h", "--help")) else 2)
    if first == "--version":
        print(unmask.__version__)
        sys.exit(0)
    near = difflib.get_close_matches(first, COMMANDS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"the commands are {', '.join(COMMANDS)}"
    raise UserError(f"{first!r} is no command; {hint}")


def _default(kind: type[Any], words: Sequence[str]) -> Any:
    if kind is Audit:
        return _audited_data(words)
    if kind not in (Pretrain, Finetune, Scratch, Compare):
        return None
    data = _value(words, "--data") or "multiview"
    recipe = named(_value(words, "--recipe") or suggested(data))
    start = _value(words, "--init") or _value(words, "--pretrained")
    recipe = recipe if start is None else of_run(recipe, start)
    encoder = _value(words, "--encoder")
    if encoder is not None and encoder != recipe.encoder.encoder:
        recipe = with_encoder(recipe, encoder)
    flags = RunFlags(out=tyro.MISSING)
    source = _named_data(recipe, data)
    if kind is Pretrain:
        return Pretrain(config=PretrainConfig(data=source, encoder=recipe.encoder, recipe=recipe.pretrain), run=flags)
    if kind is Compare:
        return Compare(config=comparison(recipe, data), run=flags)
    config = ClassifyConfig(data=source, encoder=recipe.encoder, recipe=recipe.finetune)
    return kind(config=config, run=flags)


def _audited_data(words: Sequence[str]) -> Audit:
    """An audit of the data that --data names, as its recipe has them, else of those of the first run folder."""
    data = _value(words, "--data")
    recipe = named(suggested(data or "multiview")).data
    source = data_of_runs(words) if data is None else replace(recipe, data=data)
    return Audit(runs=tyro.MISSING, out=tyro.MISSING, data=source or recipe)


def _named_data(recipe: Recipe, data: str) -> DataConfig:
    """Data in the form of a recipe; options of the recipe's own data are of no others."""
    return replace(recipe.data, data=data, options=recipe.data.options if data == recipe.data.data else None)


def comparison(recipe: Recipe, data: str, **changes: Any) -> CompareConfig:
    """A comparison of a recipe on a data set."""
    return CompareConfig(
        data=_named_data(recipe, data),
        encoder=recipe.encoder,
        pretrain=recipe.pretrain,
        finetune=recipe.finetune,
        scratch_candidates=recipe.scratch_candidates,
        **changes,
    )


def _value(words: Sequence[str], flag: str) -> str | None:
    """The word after a flag, or after flag=, as the parser will read it."""
    for position, word in enumerate(words):
        if word == flag and position + 1 < len(words):
            return words[position + 1]
        if word.startswith(flag + "="):
            return word.split("=", 1)[1]
    return None


def run(command: Any) -> int:
    """Carry out a parsed command and return the exit code."""
    if isinstance(command, Report):
        print(unmask.write_report(list(command.runs), command.out))
        return 0
    if isinstance(command, Demo):
        _tell(unmask.demo(command.out, progress=not command.quiet), as_json=False)
        return 0
    if isinstance(command, Audit):
        return run_audit(command)
    if isinstance(command, CheckData):
        return run_check(command)
    if isinstance(command, EncodersConfig):
        return run_encoders(command)
    if isinstance(command, PredictConfig):
        return run_predict(command)
    if isinstance(command, EmbedConfig):
        return run_embed(command)
    if isinstance(command, ExportConfig):
        return run_export(command)
    if isinstance(command, VerifyConfig | SweepConfig | TheoryReportConfig):
        return _theory(command)
    flags: RunFlags = command.run
    stage = {Pretrain: "pretrain", Finetune: "finetune", Scratch: "scratch", Compare: "compare"}[type(command)]
    folder = getattr(unmask, stage)(
        command.config, flags.out, resume=flags.resume, overwrite=flags.overwrite, progress=not flags.quiet
    )
    if isinstance(command, Compare):
        _tell(folder, as_json=command.json)
    else:
        from unmask.training.launch import is_speaker

        if is_speaker():
            print(folder)
    return 0


def _theory(command: VerifyConfig | SweepConfig | TheoryReportConfig) -> int:
    from unmask import laboratory as theory

    try:
        if isinstance(command, VerifyConfig):
            return theory.verify(command)
        return theory.sweep(command) if isinstance(command, SweepConfig) else theory.report(command)
    except (KeyboardInterrupt, PreemptionError) as error:
        # The threads in the middle of a job cannot be told to end, and there is nothing to save.
        print("unmask: stopped before the end; nothing is written", file=sys.stderr, flush=True)
        os._exit(143 if isinstance(error, PreemptionError) else 130)


def _tell(folder: Path, *, as_json: bool) -> None:
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    if as_json:
        print(json.dumps(summary, indent=1))
        return
    for verdict in summary["verdicts"]:
        print(verdict["sentence"])
    print(f"report: {folder / 'report.html'}")

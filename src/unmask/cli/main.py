"""The command line: one subcommand per stage; each calls one function of the API."""

import difflib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
from typing import NoReturn, Protocol

import unmask
from unmask.cli.audit import Audit
from unmask.cli.choose import Choose, Label
from unmask.cli.compare import Compare, Demo, Report
from unmask.cli.data import CheckData
from unmask.cli.deploy import Embed, Export, Predict
from unmask.cli.encoders import Encoders
from unmask.cli.flags import defaults_of, parse_flags, with_flags
from unmask.cli.theory import Sweep, TheoryReport, Verify
from unmask.cli.train import Finetune, Pretrain, Scratch
from unmask.config.cluster import LOCAL
from unmask.config.effects import TABLE, Idle, Table, require_effect
from unmask.config.names import names_of
from unmask.errors import (
    KILLED_WORKER,
    NO_THREAD,
    PREEMPTED,
    WORKER_MESSAGE,
    PreemptionError,
    UserError,
    is_out_of_memory,
    memory_line,
)
from unmask.preemption import stopping_at_once
from unmask.wording import printable


class Command(Protocol):
    """A dataclass whose fields are the flags. `default(program, words)`, if it has one, gives their defaults."""

    def run(self) -> int:
        """Run the command and return the exit code."""
        ...


COMMANDS: dict[str, type[Command]] = {
    "demo": Demo,
    "pretrain": Pretrain,
    "finetune": Finetune,
    "scratch": Scratch,
    "compare": Compare,
    "audit": Audit,
    "report": Report,
    "choose": Choose,
    "label": Label,
    "predict": Predict,
    "embed": Embed,
    "export": Export,
    "data check": CheckData,
    "encoders": Encoders,
    "theory verify": Verify,
    "theory sweep": Sweep,
    "theory report": TheoryReport,
}


_DRY = Idle(("dry_run",), "no jobs are submitted (`on`)", lambda c: not c.cluster.submits)
_THREADS = Idle(("workers",), "the work is done by the workers of `on`", lambda c: c.cluster.on != LOCAL)
FLAGS_WITHOUT_EFFECT: Table = {
    **TABLE,
    Compare: (
        Idle(
            ("flags.yes", "json", "flags.resume", "flags.overwrite"), "`plan` does none of it", lambda c: c.flags.plan
        ),
        Idle(("dry_run",), "no jobs are submitted (`on`)", lambda c: not c.config.cluster.submits),
    ),
    **dict.fromkeys((Verify, Sweep), (_DRY, _THREADS)),
    Encoders: (_DRY,),
    **dict.fromkeys(
        (Pretrain, Finetune, Scratch), (Idle(("flags.yes",), "`plan` does none of it", lambda c: c.flags.plan),)
    ),
    CheckData: (
        Idle(("config.workers", "config.cache_mib"), "a check decodes every image once, in threads, and keeps none"),
    ),
    Audit: (
        _DRY,
        Idle(("data.image_size", "data.channels"), "images get the size and channels that the networks want"),
    ),
    Export: (
        Idle(("public",), "nothing is uploaded (`push_to_hub`)", lambda c: c.push_to_hub is None),
        Idle(("inputs",), "{to} holds the network alone", lambda c: c.to in ("timm", "safetensors")),
    ),
}
"""Those of configurations, and of the commands themselves."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Exit code 0: done; 2: the input was wrong; 130, 143: Ctrl-C, SIGTERM. One line says what to do."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # A name that the terminal cannot show must not be an error.
    try:
        with stopping_at_once():
            sys.exit(parse(words).run())
    except BrokenPipeError as error:
        _leave_reader(error)
    except (UserError, OSError) as error:
        _leave(2, str(error))
    except PreemptionError as error:
        _leave(PREEMPTED, str(error))
    except (MemoryError, RuntimeError, ImportError) as error:
        if NO_THREAD in str(error):
            _leave(2, "the system cannot start another thread: end other programs, or raise the limit (ulimit -u)")
        if is_out_of_memory(error):
            _leave(2, f"{memory_line(error)}: use smaller images or batches, or `cache_mib=0`")
        if KILLED_WORKER not in str(error):
            raise
        _leave(2, WORKER_MESSAGE)
    except KeyboardInterrupt:
        _leave(130, "interrupted; continue with the same command and --resume")


def _leave(code: int, line: str) -> NoReturn:
    """Exit with a line and a code, or with the code alone if the line cannot be written either, as on a full disk."""
    with suppress(OSError):
        print(printable(f"unmask: {with_flags(line, all_flags())}"), file=sys.stderr)
    sys.exit(code)


def _leave_reader(error: BrokenPipeError) -> NoReturn:
    """Exit silently when stdout is closed early, e.g. by `head`; any other broken pipe is an error."""
    try:
        print(flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    _leave(2, str(error))


def all_flags() -> set[str]:
    """The fields of all commands that are flags."""
    return {name.rpartition(".")[2] for command in COMMANDS.values() for name in names_of(command)}


def parse(words: Sequence[str]) -> Command:
    """The command that the words name."""
    name = next((n for n in (" ".join(words[:2]), *words[:1]) if n in COMMANDS), None)
    if name is None:
        _explain(words)
    program, rest = f"unmask {name}", list(words[len(name.split()) :])
    if name == "data check" and rest and not rest[0].startswith("-"):
        rest = ["--data", *rest]
    kind = COMMANDS[name]
    make = getattr(kind, "default", None)
    usual = None if make is None else make(program, rest)
    command = parse_flags(kind, program, rest, usual)
    require_effect(command, usual or defaults_of(kind), FLAGS_WITHOUT_EFFECT)
    return command


def _explain(words: Sequence[str]) -> NoReturn:
    """The list of commands, for no word, --help and the first word of a pair; an error for anything else."""
    first = words[0] if words else "--help"
    shown = [name for name in COMMANDS if name.split()[0] == first] or list(COMMANDS)
    if first in ("-h", "--help") or shown != list(COMMANDS):
        print("usage: unmask COMMAND [--flags]; unmask COMMAND --help shows the flags and their defaults\n")
        for name in shown:
            print(f"  {name:15s} {(COMMANDS[name].__doc__ or '').splitlines()[0]}")
        sys.exit(0 if first in ("-h", "--help") or (len(words) > 1 and words[1] in ("-h", "--help")) else 2)
    if first == "--version":
        print(unmask.__version__)
        sys.exit(0)
    near = difflib.get_close_matches(first, COMMANDS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"the commands are {', '.join(COMMANDS)}"
    raise UserError(f"{first!r} is not a command; {hint}")

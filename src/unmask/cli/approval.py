"""The plan of a command: shown before its work starts; a long one must be confirmed."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unmask.cli.flags import print_json, with_flags
from unmask.config import to_json
from unmask.config.names import names_of
from unmask.errors import UserError
from unmask.wording import in_words, printable

if TYPE_CHECKING:  # it imports torch, which --help does not need
    from unmask.profiling.forecast import Forecast


@dataclass(frozen=True, kw_only=True)
class Approval:
    """Called with a plan before its work starts."""

    kind: type[Any]
    """Of the configuration, whose fields are flags."""
    stop: bool
    """Print the plan as JSON and exit."""
    yes: bool
    """Start without asking for confirmation."""
    quiet: bool

    def __call__(self, plan: "Forecast") -> None:
        """Print the plan. If it is long, ask for confirmation, or refuse if nobody can answer.

        Raises:
            SystemExit: only the plan was wanted.
            UserError: it is long and was not confirmed.
        """
        if self.stop:
            print_json(to_json(plan))
            raise SystemExit(0)
        names = {name.rpartition(".")[2] for name in names_of(self.kind)}
        for line in plan.lines() if not self.quiet else ():
            print(printable(with_flags(line, names)), file=sys.stderr)
        if self.yes or not plan.is_long:
            return
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            settings = ", ".join(f"`{one.setting}` ({in_words(one.seconds)})" for one in plan.shorter)
            less = f"; shorter: {settings}" if settings else ""
            raise UserError(f"this takes {in_words(plan.seconds)}: start it with `yes=True`{less}")
        print(f"This takes {in_words(plan.seconds)}. Start? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise UserError("not started")

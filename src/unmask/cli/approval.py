"""The plan of a command: told before its work begins, and a yes is asked for where that is long."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unmask.cli.flags import print_json, with_flags
from unmask.config import to_json
from unmask.config.names import names_of
from unmask.errors import UserError
from unmask.wording import in_words, printable

if TYPE_CHECKING:  # torch comes with it, which --help does without
    from unmask.profiling.forecast import Forecast


@dataclass(frozen=True, kw_only=True)
class Approval:
    """Called with a plan before its work begins."""

    kind: type[Any]
    """Of the configuration, whose fields are flags."""
    stop: bool
    """Print the plan as JSON and leave."""
    yes: bool
    """Begin without being asked."""
    quiet: bool

    def __call__(self, plan: "Forecast") -> None:
        """Print the plan. Where it is long, ask, or refuse where nobody can answer.

        Raises:
            SystemExit: the plan was all that was wanted.
            UserError: it is long, and there was no yes.
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
            raise UserError(f"this takes {in_words(plan.seconds)}: begin it with `yes=True`{less}")
        print(f"This takes {in_words(plan.seconds)}. Begin? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise UserError("not begun")

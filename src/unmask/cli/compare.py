"""`unmask compare`, `unmask demo` and `unmask report`."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

import unmask
from unmask.cli.flags import RUNS, print_json, with_flags
from unmask.cli.train import RunFlags, carry_out, default_config
from unmask.config import CompareConfig, to_json
from unmask.config.names import names_of
from unmask.errors import UserError
from unmask.runs.layout import CONFIG_FILE, SUMMARY_FILE
from unmask.wording import in_words, printable

if TYPE_CHECKING:  # torch comes with it, which --help does without
    from unmask.comparison.forecast import Forecast


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Does pretraining help on these images? Fine-tuned against scratch over label draws, with intervals and a verdict.

    Defaults are those of a recipe, which --recipe or else --data decides: give these before --help to see yours.

    Example: unmask compare --data my/labeled --budgets 10 50 --draws 5 --out runs/answer
    """

    config: CompareConfig = field(default_factory=CompareConfig)
    flags: RunFlags
    plan: bool = False
    """Time a few steps, print as JSON what would be done, in how many seconds and how much memory, and stop."""
    yes: bool = False
    """Begin without being asked, also where the plan takes more than two hours."""
    json: bool = False
    """Print summary.json instead of the verdicts."""

    @classmethod
    def default(cls, program: str, words: Sequence[str]) -> "Compare":
        """See `default_config`."""
        return cls(config=default_config(CompareConfig, program, words), flags=RunFlags(out=Path("runs/answer")))

    def run(self) -> int:
        """Say what will be done, compare, and print the verdicts."""
        if self.plan:
            print_json(to_json(unmask.forecast(self.config, self.flags.out)))
            return 0
        stage = unmask.compare if self.yes and self.flags.quiet else partial(unmask.compare, approve=self._approve)
        _print_verdicts(carry_out(stage, self.config, self.flags), as_json=self.json)
        return 0

    def _approve(self, plan: "Forecast") -> None:
        """Print the plan. Where it is long, ask, or refuse where nobody can answer."""
        names = {name.rpartition(".")[2] for name in names_of(CompareConfig)}
        for line in plan.lines() if not self.flags.quiet else ():
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


@dataclass(frozen=True, kw_only=True)
class Demo:
    """The whole job on the built-in data in a few minutes: pretrain, fine-tune, compare, report.

    Example: unmask demo
    """

    out: Path = Path("runs/demo")
    """Run folder; continued if it is there."""
    quiet: bool = False
    """No progress bars."""

    def run(self) -> int:
        """Compare and print the verdicts."""
        _print_verdicts(unmask.demo(self.out, progress=not self.quiet), as_json=False)
        return 0


@dataclass(frozen=True, kw_only=True)
class Report:
    """Write one self-contained HTML page about one or more finished runs.

    Example: unmask report runs/answer
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, RUNS]
    """Run folders."""
    out: Path | None = None
    """The page. Default: report.html in the first run folder."""

    def run(self) -> int:
        """Write the page and print its path."""
        print(printable(unmask.write_report(list(self.runs), self.out)))
        return 0


def _print_verdicts(comparison: "unmask.Comparison", *, as_json: bool) -> None:
    if as_json:
        print((comparison.folder / SUMMARY_FILE).read_text(encoding="utf-8"), end="")
        return
    summary = comparison.summary
    if summary.answer is not None:
        print(printable(summary.answer.sentence))
        print(printable(summary.answer.context))
        if summary.answer.next_step:
            print(printable(f"next: {summary.answer.next_step}"))
        if summary.answer.draws is not None:
            config = comparison.folder / CONFIG_FILE
            words = ("--config", str(config), "--out", str(comparison.folder), "--resume")
            print(printable(f"next: unmask compare {shlex.join(words)} --draws {summary.answer.draws}"))
    for verdict in summary.verdicts:
        print(printable(verdict.sentence))
    for worth in summary.labels_worth:
        print(printable(worth.sentence))
    if beside := summary.beside_accuracy():
        print(printable(beside))
    print(printable(f"report: {comparison.report}"))

"""`unmask compare`, `unmask demo` and `unmask report`."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

import unmask
from unmask.cli.elsewhere import print_job_script
from unmask.cli.flags import RUNS, print_json
from unmask.cli.train import RunFlags, carry_out, default_config
from unmask.config import CompareConfig, to_json
from unmask.runs.layout import CONFIG_FILE, SUMMARY_FILE
from unmask.wording import printable


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Does pretraining help on these images? Fine-tuning against scratch over label draws, with a verdict.

    Defaults come from a recipe, which --recipe or else --data selects: give these before --help to see yours.

    Example: unmask compare --data my/labeled --budgets 10 50 --draws 5 --out runs/answer
    """

    config: CompareConfig = field(default_factory=CompareConfig)
    flags: RunFlags
    json: bool = False
    """Print summary.json instead of the verdicts."""
    watch: bool = False
    """Also write report.html while the comparison runs: open it in a browser, where it reloads itself."""
    dry_run: bool = False
    """Print the job script that --on would submit, and stop."""

    @classmethod
    def default(cls, program: str, words: Sequence[str]) -> "Compare":
        """See `default_config`."""
        return cls(config=default_config(CompareConfig, program, words), flags=RunFlags(out=Path("runs/answer")))

    def run(self) -> int:
        """Print the plan, compare, and print the verdicts."""
        if self.dry_run:
            return print_job_script(self.config.cluster, self.config.pretrain_processes)
        if self.flags.plan:
            print_json(to_json(unmask.forecast(self.config, self.flags.out)))
            return 0
        stage = partial(unmask.compare, watch=self.watch)
        _print_verdicts(carry_out(stage, self.config, self.flags), as_json=self.json)
        return 0


@dataclass(frozen=True, kw_only=True)
class Demo:
    """The whole workflow on the built-in data in a few minutes: pretrain, fine-tune, compare, report.

    Example: unmask demo
    """

    out: Path = Path("runs/demo")
    """Run folder; continued if it exists."""
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
    """The page to write. Default: report.html in the first run folder."""

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

"""`unmask theory verify | sweep | report`."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro
from tqdm import tqdm

from unmask.cli.elsewhere import print_job_script
from unmask.config.cluster import ClusterConfig
from unmask.errors import PREEMPTED, PreemptionError, UserError
from unmask.wording import printable


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Check every claim of the theory. Exit code 1 if an identity or a law fails.

    Example: unmask theory verify --preset paper-small --seeds 10
    """

    preset: str = "paper-small"
    """paper-small, paper, or asymptotic-K (the schedules at k = K classes)."""
    seeds: int = 10
    """Number of seeds, starting from the first seed."""
    first_seed: int = 0
    """The first seed."""
    json: bool = False
    """Print a JSON list of verdicts instead of a table."""
    break_: Annotated[str | None, tyro.conf.arg(name="break")] = None
    """Switch off one assumption: large_start, quadratic, many_single, faint_equals_other, window, mask, missing,
    few_kernels.
    """
    float64: bool = False
    """Compute in float64 instead of float32."""
    workers: int = 2
    """Threads; each works on one seed at a time. Affects speed only."""
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    dry_run: bool = False
    """Print the job script that --on would submit, and stop."""

    def run(self) -> int:
        """Print the verdicts; returns 1 if an identity or a law fails."""
        from unmask.comparison.place import open_elsewhere
        from unmask.theory.verdict import as_text, failed
        from unmask.theory.verify import verify

        if self.dry_run:
            return print_job_script(self.cluster)
        given = (self.preset, self.seeds, self.break_, self.workers, self.float64)
        with _bar("verify") as told, open_elsewhere(self.cluster) as elsewhere:
            verdicts = verify(*given, told, self.first_seed, elsewhere)
        print(json.dumps([v.as_dict() for v in verdicts], indent=1) if self.json else as_text(verdicts))
        return 1 if failed(verdicts) else 0


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Vary parameters of a preset on a grid: a table, one or more rows per point and seed, and its figure.

    Example: unmask theory sweep --over mask_ratio=0:0.95:20 --over teacher_scale=1.2:1.8:9 --out phases.csv
    """

    over: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """An axis, NAME=LOW:HIGH:COUNT or NAME=A,B,C; NAME is a field of the setting or of its data. Repeat for more
    (default: the axes that fit the measure).
    """
    preset: str = "paper-small"
    """The preset to vary."""
    seeds: int = 1
    """Seeds per point."""
    measure: str = "phases"
    """phases: grows alone, only together, dead. capture: coverage and purity over time. purity: the same at given
    predicted coverages. learners: test errors of SL and MRP. downstream: the same, separately for features that
    pretraining has and has not seen. correlations: kernels x features before and after, MRP and SL.
    """
    out: str = "theory-sweep.csv"
    """Table: .csv or .parquet; its figure is written beside it as .png."""
    float64: bool = False
    """Compute in float64 instead of float32."""
    workers: int = 2
    """Processes on this machine."""
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    dry_run: bool = False
    """Print the job script that --on would submit, and stop."""

    def run(self) -> int:
        """Run the grid and write its table with the figure beside it."""
        from unmask.comparison.place import open_elsewhere
        from unmask.report.theory.sweep_figure import write_figure
        from unmask.theory.presets import preset
        from unmask.theory.sweep import UnfinishedSweepError, axes_of, run_sweep, table_path, write_table

        if self.dry_run:
            return print_job_script(self.cluster)
        table_path(self.out)
        setting, axes = preset(self.preset), axes_of(self.measure, self.over)
        how: dict[str, Any] = {"seeds": self.seeds, "float64": self.float64}
        try:
            with _bar("sweep") as told, open_elsewhere(self.cluster, processes=self.workers) as elsewhere:
                rows = run_sweep(setting, axes, self.measure, **how, told=told, elsewhere=elsewhere)
        except UnfinishedSweepError as error:
            if not error.rows:
                raise
            raise UserError(f"{error}; {write_table(error.rows, self.out)} holds the other points") from None
        written = write_table(rows, self.out)
        figure = write_figure(rows, self.measure, axes, written, setting)
        print(printable(f"{len(rows)} rows: {written}, {figure}"))
        return 0


@dataclass(frozen=True, kw_only=True)
class TheoryReport:
    """Write one HTML page with the verdicts and the figures.

    Example: unmask theory report --seeds 3 --out theory.html
    """

    out: str = "theory.html"
    """The page to write."""
    preset: str = "paper-small"
    """The preset."""
    seeds: int = 3
    """Seeds of the verdicts."""
    workers: int = 2
    """Processes that compute the sweeps while this one computes the verdicts; with 1 it does both."""

    def run(self) -> int:
        """Compute the page's verdicts and sweeps, and write it."""
        from unmask.comparison.place import open_elsewhere
        from unmask.report.theory.page import write_report

        with _bar("report") as told, open_elsewhere(ClusterConfig(), processes=self.workers) as elsewhere:
            print(printable(write_report(Path(self.out), self.preset, self.seeds, told, elsewhere)))
        return 0


BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"


@contextmanager
def _bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar with the time left, updated with (done, total); not shown before the first update."""
    bars: list[Any] = []

    def told(done: int, total: int) -> None:
        if not bars:
            bars.append(tqdm(desc=name, total=total, bar_format=BAR))
        bars[0].n = done
        bars[0].refresh()

    try:
        yield told
    except (KeyboardInterrupt, PreemptionError) as error:
        # Threads in the middle of a job cannot be stopped, and there is nothing to save.
        print("unmask: stopped before the end; nothing was written", file=sys.stderr, flush=True)
        os._exit(PREEMPTED if isinstance(error, PreemptionError) else 130)
    finally:
        for bar in bars:
            bar.close()

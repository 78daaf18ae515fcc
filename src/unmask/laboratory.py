"""The commands of the theory laboratory, where the theory meets the report: configuration in, exit code out."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from unmask.theory.commands import SweepConfig, TheoryReportConfig, VerifyConfig
from unmask.theory.verdict import as_text, failed
from unmask.theory.verify import verify as all_verdicts


def verify(config: VerifyConfig) -> int:
    """Print the verdicts; 1 if a proven claim fails, else 0."""
    with _bar("verify") as told:
        verdicts = all_verdicts(config.preset, config.seeds, config.break_, config.workers, config.float64, told)
    text = json.dumps([v.as_dict() for v in verdicts], indent=1) if config.json else as_text(verdicts)
    sys.stdout.write(text + "\n")
    return 1 if failed(verdicts) else 0


def sweep(config: SweepConfig) -> int:
    """Vary, write the table and the figure of its measure beside it."""
    from unmask.report.theory_sweep import write_figure
    from unmask.theory.presets import preset
    from unmask.theory.sweep import axes_of, run_sweep, write_table

    with _bar("sweep") as told:
        table = run_sweep(config, told)
    written = write_table(table, config.out)
    figure = write_figure(table, config.measure, axes_of(config), written, preset(config.preset))
    sys.stdout.write(f"{len(table)} rows: {written}, {figure}\n")
    return 0


def report(config: TheoryReportConfig) -> int:
    """Run the verdicts and the sweeps of the page, write it."""
    from unmask.report.theory import write_report

    with _bar("report") as told:
        page = write_report(config, told)
    sys.stdout.write(f"{page}\n")
    return 0


@contextmanager
def _bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar over jobs, told how many of how many are done; none before the first word."""
    bars: list[Any] = []

    def told(done: int, total: int) -> None:
        if not bars:
            bars.append(tqdm(desc=name, unit="job"))
        bars[0].total, bars[0].n = total, done
        bars[0].refresh()

    try:
        yield told
    finally:
        for bar in bars:
            bar.close()

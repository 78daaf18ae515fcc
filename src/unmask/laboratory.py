"""The commands of the theory laboratory, where the theory meets the report: configuration in, exit code out."""

import json
import sys

from unmask.theory.commands import SweepConfig, TheoryReportConfig, VerifyConfig
from unmask.theory.verdict import as_text, failed
from unmask.theory.verify import verify as all_verdicts


def verify(config: VerifyConfig) -> int:
    """Print the verdicts; 1 if a proven claim fails, else 0."""
    verdicts = all_verdicts(config.preset, config.seeds, config.break_, config.workers, float64=config.float64)
    text = json.dumps([v.as_dict() for v in verdicts], indent=1) if config.json else as_text(verdicts)
    sys.stdout.write(text + "\n")
    return 1 if failed(verdicts) else 0


def sweep(config: SweepConfig) -> int:
    """Vary, write the table and the figure of its measure beside it."""
    from unmask.report.theory_sweep import write_figure
    from unmask.theory.presets import preset
    from unmask.theory.sweep import axes_of, run_sweep, write_table

    table = run_sweep(config)
    written = write_table(table, config.out)
    figure = write_figure(table, config.measure, axes_of(config), written, preset(config.preset))
    sys.stdout.write(f"{len(table)} rows: {written}, {figure}\n")
    return 0


def report(config: TheoryReportConfig) -> int:
    """Run the verdicts and the sweeps of the page, write it."""
    from unmask.report.theory import write_report

    sys.stdout.write(f"{write_report(config)}\n")
    return 0

"""The commands of the data room for the command line. Imports nothing heavy; torch comes with the call."""

import json
from dataclasses import asdict, dataclass, field
from typing import Annotated

from unmask.config.data import DataConfig
from unmask.config.flags import FLAT


@dataclass(frozen=True, kw_only=True)
class CheckData:
    """Scan a data set before a run: unreadable files, odd forms, duplicates across splits, class counts, statistics.

    Exit code 0: fit for training; 1: training would fail; 2: there is nothing to check.

    Example: unmask data check --data my/images
    """

    config: Annotated[DataConfig, FLAT] = field(default_factory=DataConfig)
    json: bool = False
    """Print the report as JSON."""
    quiet: bool = False
    """No progress bar."""


def run_check(command: CheckData) -> int:
    """Check, print, and return the exit code.

    Raises:
        UserError: there is nothing to check.
    """
    from unmask.data.check import as_text, check_data

    report = check_data(command.config, progress=not command.quiet)
    print(json.dumps(asdict(report), indent=1, ensure_ascii=False) if command.json else as_text(report))
    return 1 if report.errors else 0

"""`unmask data check`."""

from dataclasses import asdict, dataclass, field

from unmask.cli.flags import print_json, with_flags
from unmask.config import DataConfig
from unmask.config.names import names_of


@dataclass(frozen=True, kw_only=True)
class CheckData:
    """Scan a data set before a run: unreadable files, odd formats, duplicates across splits, class counts, statistics.

    Exit code 0: fit for training; 1: training would fail; 2: there is nothing to check.

    Example: unmask data check --data my/images
    """

    config: DataConfig = field(default_factory=DataConfig)
    json: bool = False
    """Print the report as JSON."""
    quiet: bool = False
    """No progress bar."""

    def run(self) -> int:
        """Check and print the findings. Raises UserError if there is nothing to check."""
        from unmask.data.check.report import as_text, check_data

        report = check_data(self.config, progress=not self.quiet)
        if self.json:
            print_json(asdict(report))
        else:
            print(with_flags(as_text(report), set(names_of(CheckData))))
        return 1 if report.errors else 0

"""`unmask audit`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

import unmask
from unmask.cli.elsewhere import print_job_script
from unmask.cli.flags import RUNS, parse_some
from unmask.cli.train import stored_config
from unmask.config import AuditConfig, AuditRun, DataConfig
from unmask.config.cluster import ClusterConfig
from unmask.recipes import data_for_audit, other_data
from unmask.runs.layout import AUDIT_FILE
from unmask.wording import printable


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Which features did trained networks capture? Maps, sufficient views and more, side by side.

    Uses the data and settings of the first run unless --data names other images: unmask audit RUN --help shows them;
    without a run folder it shows the defaults for the built-in data.

    Example: unmask audit runs/finetuned runs/scratch --out runs/audit
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, RUNS]
    """Folders of fine-tunings, trainings from scratch and comparisons, or .safetensors files."""
    arm: str | None = None
    """For a comparison: audit the network of this arm. Default: the recommended one."""
    data: DataConfig = field(default_factory=DataConfig)
    """Default: the first run's data."""
    config: AuditConfig = field(default_factory=AuditConfig)
    out: Path
    """Folder to write: audit.json, audit.html and pictures."""
    config_file: Annotated[Path | None, tyro.conf.arg(name="config")] = None
    """An audit's config.json, which sets all defaults, including the runs: to repeat an audit or to vary it."""
    overwrite: bool = False
    """Replace the audit in --out."""
    json: bool = False
    """Print audit.json instead of the path to the page."""
    quiet: bool = False
    """No progress bars."""
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    dry_run: bool = False
    """Print the job script that --on would submit, and stop."""

    @classmethod
    def default(cls, program: str, words: Sequence[str]) -> "Audit":
        """An audit of the data that --data names, with its recipe's settings, else of the first run's data.

        With --config everything is as in that audit except what flags change.
        """
        given, rest = parse_some(AuditStart, program, words)
        if given.config is not None:
            asked = stored_config(AuditRun, given.config)
            return cls(
                runs=asked.networks, out=tyro.MISSING, data=other_data(asked.data, given.data), config=asked.audit
            )
        words = [word for word in (*given.runs, *rest) if not word.startswith("-")]
        return cls(runs=tyro.MISSING, out=tyro.MISSING, data=data_for_audit(given.data, map(Path, words)))

    def run(self) -> int:
        """Audit and print the path to the page, or the numbers."""
        if self.dry_run:
            return print_job_script(self.cluster)
        flags: dict[str, Any] = {"overwrite": self.overwrite, "progress": not self.quiet, "cluster": self.cluster}
        audit = unmask.audit_runs(self.runs, self.out, arm=self.arm, data=self.data, config=self.config, **flags)
        print((audit.folder / AUDIT_FILE).read_text(encoding="utf-8") if self.json else printable(audit.report))
        return 0


@dataclass(frozen=True, kw_only=True)
class AuditStart:
    """The words that determine the defaults of all flags."""

    runs: tyro.conf.Positional[tuple[str, ...]] = ()
    data: str | None = None
    config: Path | None = None

"""The command `unmask audit`. Imports nothing heavy; torch comes with the call."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from unmask.config import AuditConfig, DataConfig
from unmask.config.flags import FLAT, RUNS
from unmask.runs.read import is_run, read_config


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Which features did trained networks capture? Maps, sufficient views and more, side by side.

    Images are those that the first run was trained on, with its settings, unless --data names others: unmask audit RUN
    --help shows them; without a run folder the defaults of the built-in data are shown.

    Example: unmask audit runs/finetuned runs/scratch --out runs/audit
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, RUNS]
    """Folders of fine-tunings and trainings from scratch, or their .safetensors files."""
    data: Annotated[DataConfig, FLAT] = field(default_factory=DataConfig)
    """Default: the data of the first run folder."""
    config: Annotated[AuditConfig, FLAT] = field(default_factory=AuditConfig)
    out: Path
    """Folder to write: audit.json, audit.html, pictures."""
    overwrite: bool = False
    """Replace the audit in --out."""
    json: bool = False
    """Print audit.json instead of the path of the page."""
    quiet: bool = False
    """No progress bars."""


def data_of_runs(words: Sequence[str]) -> DataConfig | None:
    """The data that the first run folder among the words was trained on; None where none tells."""
    for word in words:
        if word.startswith("-"):
            continue
        if is_run(Path(word)):
            return read_config(Path(word)).data
    return None


def run_audit(command: Audit) -> int:
    """Audit, print where the page is (or the numbers), and return the exit code."""
    from unmask.audit.run import audit_runs

    folder = audit_runs(
        command.runs,
        command.data,
        command.out,
        command.config,
        overwrite=command.overwrite,
        progress=not command.quiet,
    )
    print((folder / "audit.json").read_text(encoding="utf-8") if command.json else folder / "audit.html")
    return 0

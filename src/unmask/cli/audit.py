"""`unmask audit`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

import unmask
from unmask.cli.flags import RUNS, parse_some
from unmask.config import AuditConfig, DataConfig
from unmask.recipes import recipe
from unmask.runs.layout import AUDIT_FILE, AUDIT_PAGE
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
    data: DataConfig = field(default_factory=DataConfig)
    """Default: the data of the first run folder."""
    config: AuditConfig = field(default_factory=AuditConfig)
    out: Path
    """Folder to write: audit.json, audit.html, pictures."""
    overwrite: bool = False
    """Replace the audit in --out."""
    json: bool = False
    """Print audit.json instead of the path of the page."""
    quiet: bool = False
    """No progress bars."""

    @classmethod
    def default(cls, program: str, words: Sequence[str]) -> "Audit":
        """An audit of the data that --data names, as its recipe has them, else of those of the first run folder."""
        given, rest = parse_some(AuditStart, program, words)
        stored = _data_of_runs([*given.runs, *rest]) if given.data is None else None
        return cls(runs=tyro.MISSING, out=tyro.MISSING, data=stored or recipe(data=given.data or "multiview").data)

    def run(self) -> int:
        """Audit and print where the page is, or the numbers."""
        folder = unmask.audit_runs(
            self.runs, self.data, self.out, self.config, overwrite=self.overwrite, progress=not self.quiet
        )
        print((folder / AUDIT_FILE).read_text(encoding="utf-8") if self.json else folder / AUDIT_PAGE)
        return 0


@dataclass(frozen=True, kw_only=True)
class AuditStart:
    """The words that decide the defaults of all flags."""

    runs: tyro.conf.Positional[tuple[str, ...]] = ()
    data: str | None = None


def _data_of_runs(words: Sequence[str]) -> DataConfig | None:
    """The data that the first run folder among the words was trained on; None where none tells."""
    for word in words:
        if not word.startswith("-") and is_run(Path(word)):
            return read_config(Path(word)).data
    return None

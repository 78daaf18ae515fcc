"""Finished runs as Python objects: paths of their folders, and their contents, read on demand."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import cast

from unmask.config import ClassifyConfig, CompareConfig, PretrainConfig
from unmask.config.audit import AuditRun
from unmask.report.audit_story import AuditReport
from unmask.runs.contents import read_training
from unmask.runs.layout import AUDIT_FILE, AUDIT_PAGE, REPORT_FILE, RESULT_FILE, SUMMARY_FILE
from unmask.runs.metrics import Row
from unmask.runs.read import read_config, read_environment, read_record
from unmask.runs.records import ClassificationResult, Environment
from unmask.runs.scores import Scores
from unmask.runs.summary_records import Summary, Verdict


@dataclass(frozen=True, init=False)
class RunFolder(PathLike[str]):
    """The folder of a run; `open`, `Path` and every function of `unmask` that takes a run accept it."""

    folder: Path

    def __init__(self, folder: str | PathLike[str]) -> None:
        object.__setattr__(self, "folder", Path(folder))

    def __fspath__(self) -> str:
        return str(self.folder)

    def __str__(self) -> str:
        return str(self.folder)

    @property
    def environment(self) -> Environment | None:
        """Versions, hardware, data and notes of the run; None before it started."""
        return read_environment(self.folder)


class Training(RunFolder):
    """A single training."""

    @property
    def metrics(self) -> list[Row]:
        """What was logged: rows of training and of validation, in order."""
        return read_training(self.folder).metrics


class Pretraining(Training):
    """A pretraining."""

    @property
    def config(self) -> PretrainConfig:
        """Everything that determined it."""
        return cast(PretrainConfig, read_config(self.folder))


class Classification(Training):
    """A fine-tuning, or a training from scratch."""

    @property
    def config(self) -> ClassifyConfig:
        """Everything that determined it."""
        return cast(ClassifyConfig, read_config(self.folder))

    @property
    def result(self) -> ClassificationResult:
        """Everything in result.json."""
        return read_record(ClassificationResult, self.folder / RESULT_FILE)

    @property
    def scores(self) -> dict[str, Scores]:
        """Scores by set of images: "val" and the test sets."""
        return self.result.metrics


class Comparison(RunFolder):
    """A comparison of pretraining with training from scratch."""

    @property
    def config(self) -> CompareConfig:
        """Everything that determined it."""
        return cast(CompareConfig, read_config(self.folder))

    @property
    def summary(self) -> Summary:
        """Everything in summary.json."""
        return read_record(Summary, self.folder / SUMMARY_FILE)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Whether pretraining helped, per budget, by how much and how certain that is; the primary one first."""
        return self.summary.verdicts

    @property
    def report(self) -> Path:
        """The page."""
        return self.folder / REPORT_FILE


class Audit(RunFolder):
    """An audit of networks side by side."""

    @property
    def config(self) -> AuditRun:
        """Everything that determined it."""
        return cast(AuditRun, read_config(self.folder))

    @property
    def numbers(self) -> AuditReport:
        """Everything in audit.json: docs/audit.md lists the fields."""
        return read_record(AuditReport, self.folder / AUDIT_FILE)

    @property
    def report(self) -> Path:
        """The page."""
        return self.folder / AUDIT_PAGE

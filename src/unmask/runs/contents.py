"""The contents of a run folder as one object: configuration, environment, and measurements so far."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unmask.config import AuditRun, ClassifyConfig, CompareConfig, PretrainConfig
from unmask.errors import UserError
from unmask.runs.gallery import Gallery
from unmask.runs.layout import (
    AUDIT_PAGE,
    GALLERY_FILE,
    GIVEN_PRETRAININGS,
    PICTURES,
    PRETRAININGS,
    RESULT_FILE,
    SUMMARY_FILE,
    distinct_names,
)
from unmask.runs.metrics import Row, read_metrics
from unmask.runs.read import is_run, read_config, read_environment, read_optional
from unmask.runs.records import ClassificationResult, Environment
from unmask.runs.summary_records import Summary
from unmask.runs.trial_records import PieceOfWork, TrialResult, TuningResult
from unmask.runs.trials import read_trials, read_tunings
from unmask.runs.work import read_work


@dataclass(frozen=True, kw_only=True)
class RunContents:
    """Contents that every run has, finished or not."""

    folder: Path
    name: str
    """Name of the folder; longer if other runs have the same name."""
    environment: Environment | None
    """None if it is not written yet."""


@dataclass(frozen=True, kw_only=True)
class PretrainingRun(RunContents):
    """A pretraining."""

    config: PretrainConfig
    metrics: list[Row]
    pictures: list[Path]
    """Reconstructions, by step."""


@dataclass(frozen=True, kw_only=True)
class ClassificationRun(RunContents):
    """A fine-tuning or a training from scratch."""

    config: ClassifyConfig
    metrics: list[Row]
    result: ClassificationResult | None
    """None if it is not finished."""
    gallery: Gallery | None
    """None if there is none yet, or no test image."""


@dataclass(frozen=True, kw_only=True)
class ComparisonRun(RunContents):
    """A comparison."""

    config: CompareConfig
    trials: list[TrialResult]
    tuning: list[TuningResult]
    summary: Summary | None
    """None if it is not finished."""
    gallery: Gallery | None
    """The same."""
    pretrainings: list[PretrainingRun]
    """Its own ones, and those given to it as folders."""
    work: list[PieceOfWork]
    """Which machine did which training, by start; empty for a comparison of an earlier version."""


TrainingRun = PretrainingRun | ClassificationRun
Run = PretrainingRun | ClassificationRun | ComparisonRun


def read_run(folder: Path) -> Run:
    """Read the folder of a run that trains encoders.

    Raises:
        UserError: no such folder; not a run, or an audit; a file does not hold what a run writes.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give the folder of a run")
    if not is_run(folder):
        raise UserError(f"{folder}: not a run folder, it has no config.json")
    config, name, environment = read_config(folder), folder.resolve().name, read_environment(folder)
    if isinstance(config, AuditRun):
        raise UserError(f"{folder}: is an audit, whose page is {folder / AUDIT_PAGE}; give the runs that it audited")
    if isinstance(config, CompareConfig):
        return ComparisonRun(
            folder=folder,
            name=name,
            environment=environment,
            config=config,
            trials=[*read_trials(folder).values()],
            tuning=read_tunings(folder),
            summary=read_optional(Summary, folder / SUMMARY_FILE),
            gallery=read_optional(Gallery, folder / GALLERY_FILE),
            pretrainings=_pretrainings(folder, config),
            work=read_work(folder),
        )
    metrics = read_metrics(folder)
    if isinstance(config, PretrainConfig):
        pictures = PICTURES.found(folder)
        return PretrainingRun(
            folder=folder, name=name, environment=environment, config=config, metrics=metrics, pictures=pictures
        )
    result = read_optional(ClassificationResult, folder / RESULT_FILE)
    return ClassificationRun(
        folder=folder,
        name=name,
        environment=environment,
        config=config,
        metrics=metrics,
        result=result,
        gallery=read_optional(Gallery, folder / GALLERY_FILE),
    )


def read_training(folder: Path) -> TrainingRun:
    """Read the folder of a single training. Raises what `read_run` raises, and UserError for a comparison."""
    run = read_run(folder)
    if isinstance(run, ComparisonRun):
        raise UserError(
            f"{folder}: is a comparison, not a training; give one of its pretrainings, {PRETRAININGS.path(folder, 0)}, "
            "or a run of finetune or scratch"
        )
    return run


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Read run folders, each once, under different names: if two folders have the same name, with those above.

    Raises:
        UserError: one of them is missing, or is not a run.
    """
    once = {folder.resolve(): folder for folder in reversed(folders)}
    runs = [read_run(once.pop(folder.resolve())) for folder in folders if folder.resolve() in once]
    names = distinct_names([run.folder for run in runs])
    return [replace(run, name=name) for run, name in zip(runs, names, strict=True)]


def _pretrainings(folder: Path, config: CompareConfig) -> list[PretrainingRun]:
    folders = [*PRETRAININGS.found(folder), *GIVEN_PRETRAININGS.found(folder), *config.pretrained]
    runs = read_runs([one for one in folders if is_run(one)])
    return [run for run in runs if isinstance(run, PretrainingRun)]

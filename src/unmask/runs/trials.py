"""The trials of a comparison on disk: the names of their files, and their contents, which must agree."""

from pathlib import Path

from unmask.config.budget import Budget, budget_name
from unmask.errors import UserError
from unmask.runs.layout import TRIALS, TUNING
from unmask.runs.read import read_record
from unmask.runs.trial_records import TrialResult, TuningResult


def trial_name(arm: str, budget: Budget, draw: int, pretraining: int | None, repeat: int) -> str:
    """The file name, without its ending, of one training of the table."""
    suffix = "" if pretraining is None else f"-p{pretraining}"
    repeated = f"-r{repeat}" if pretraining is None and repeat else ""
    return f"{arm}-{budget_name(budget)}-d{draw}{suffix}{repeated}"


def tuning_name(arm: str, budget: Budget, candidate: int, draw: int) -> str:
    """The file name, without its ending, of one training on a tuning draw."""
    return f"{arm}-{budget_name(budget)}-c{candidate}-d{draw}"


def read_trial(file: Path) -> TrialResult:
    """A finished trial.

    Raises:
        UserError: what `read_record` raises; the file is named after another trial than the one it holds.
    """
    found = read_record(TrialResult, file)
    _require_name(file, trial_name(found.arm, found.budget, found.draw, found.pretraining, found.repeat))
    return found


def read_tuning(file: Path) -> TuningResult:
    """A finished tuning trial. Raises what `read_trial` raises."""
    found = read_record(TuningResult, file)
    _require_name(file, tuning_name(found.arm, found.budget, found.candidate, found.draw))
    return found


def read_trials(folder: Path) -> dict[str, TrialResult]:
    """All finished trials of a comparison, by name. Raises what `read_trial` raises."""
    return {file.stem: read_trial(file) for file in TRIALS.found(folder)}


def read_tunings(folder: Path) -> list[TuningResult]:
    """All finished tuning trials of a comparison. Raises what `read_trial` raises."""
    return [read_tuning(file) for file in TUNING.found(folder)]


def _require_name(file: Path, name: str) -> None:
    if file.stem != name:
        raise UserError(f"{file}: holds the trial {name}, not the one it is named after")

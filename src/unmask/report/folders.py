"""Reading run folders for the page; nothing is written."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from unmask.config import to_json
from unmask.data.file_names import one_line
from unmask.errors import UserError
from unmask.inference.summary import summarise
from unmask.inference.table import METRICS
from unmask.runs.files import read_json
from unmask.runs.layout import (
    COMPARISON,
    CONFIG_FILE,
    GIVEN_PRETRAININGS,
    PICTURES,
    PRETRAINING,
    PRETRAININGS,
    TRIALS,
    distinct_names,
)
from unmask.runs.metrics import read_metrics
from unmask.runs.read import is_run, parse_config

Kind = Literal["comparison", "pretraining", "classification"]
_FLAGS = ("budgets", "arms", "smallest_effect", "confidence")


@dataclass(frozen=True)
class RunFolder:
    """What a run folder holds, whatever its kind; what a kind does not have is empty."""

    kind: Kind
    path: Path
    name: str
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    metrics: list[dict[str, Any]] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)
    result: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    trials: list[dict[str, Any]] = field(default_factory=list)
    pretrainings: list["RunFolder"] = field(default_factory=list)


@contextmanager
def of_a_run(path: Path) -> Iterator[None]:
    """Files of a run that are JSON but do not hold what a run writes: one line instead of a traceback."""
    try:
        yield
    except UserError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path}: its JSON files do not hold what a run writes ({type(error).__name__}: {one_line(error)}); were "
            "they edited, or written by another version? Restore them, or run it again"
        ) from error


def read_run(path: Path) -> RunFolder:
    """Read one run folder.

    Raises:
        UserError: there is no such folder, or it is not a run, or its files do not hold what a run writes.
    """
    with of_a_run(path):
        return _read_run(path)


def _read_run(path: Path) -> RunFolder:
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; give the folder of a run")
    if not is_run(path):
        raise UserError(f"{path}: not a run folder, it has no config.json")
    kind_of_run, config = parse_config(path / CONFIG_FILE)
    name = path.resolve().name
    environment = read_json(path / "environment.json") if (path / "environment.json").exists() else {}
    if kind_of_run is COMPARISON:
        return _read_comparison(path, name, config, environment)
    kind: Kind = "pretraining" if kind_of_run is PRETRAINING else "classification"
    return RunFolder(
        kind,
        path,
        name,
        config,
        environment,
        metrics=[to_json(row) for row in read_metrics(path)],
        pictures=PICTURES.found(path),
        result=read_json(path / "result.json") if (path / "result.json").exists() else {},
    )


def read_runs(paths: Sequence[Path]) -> list[RunFolder]:
    """Read run folders, each once, under names that differ: where two folders are called alike, with those above.

    Raises:
        UserError: one of them is missing, or is not a run.
    """
    folders = {path.resolve(): path for path in reversed(paths)}
    runs = [read_run(folders.pop(path.resolve())) for path in paths if path.resolve() in folders]
    names = distinct_names([run.path for run in runs])
    return [replace(run, name=name) for run, name in zip(runs, names, strict=True)]


def _read_comparison(path: Path, name: str, config: dict[str, Any], environment: Mapping[str, Any]) -> RunFolder:
    trials = [read_json(file) for file in TRIALS.found(path)]
    folders = [*PRETRAININGS.found(path), *GIVEN_PRETRAININGS.found(path)]
    folders += [Path(folder) for folder in config.get("pretrained") or []]
    runs = read_runs([folder for folder in folders if is_run(folder)])
    written = path / "summary.json"
    summary = read_json(written) if written.exists() else _unfinished(path, config, trials)
    return RunFolder("comparison", path, name, config, environment, summary=summary, trials=trials, pretrainings=runs)


def _unfinished(path: Path, config: Mapping[str, Any], trials: list[dict[str, Any]]) -> dict[str, Any]:
    """The summary of the trials that are finished so far."""
    if missing := [flag for flag in _FLAGS if flag not in config]:
        raise UserError(f"{path / 'config.json'}: no field {missing[0]}; is it the configuration of a comparison?")
    rows = [
        {**{key: trial[key] for key in ("arm", "budget", "draw", "pretraining", "seconds")}, **score}
        for trial in trials
        for split, values in trial["metrics"].items()
        for score in ({"split": split, "metric": metric, "value": values.get(metric)} for metric in METRICS)
    ]
    return summarise(
        rows,
        budgets=config["budgets"],
        primary_budget=config["budgets"][0],
        arms=config["arms"],
        smallest_effect=config["smallest_effect"],
        confidence=config["confidence"],
        notes=[f"Unfinished: {len(trials)} trials so far. Every figure on this page is preliminary."],
    )

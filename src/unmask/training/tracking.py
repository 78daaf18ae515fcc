"""Experiment trackers through Accelerate. metrics.jsonl stays the truth; a tracker gets a copy of its numbers."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from unmask.config import to_json
from unmask.errors import UserError

FOLDER = "trackers"
"""In the run folder: what trackers write to disk, e.g. for `tensorboard --logdir RUN/trackers`."""
_PROJECT = "unmask"


def require_tracker(name: str | None) -> None:
    """Raise `UserError` where the tracker's package is missing, before anything is trained."""
    if name is not None and importlib.util.find_spec(name) is None:
        raise UserError(f"tracker: {name} is not installed: pip install 'unmask[{name}]'")


def start_tracker(engine: Accelerator, folder: Path, config: Any) -> None:
    """Begin a tracked run named after the folder, with the configuration's fields as its hyperparameters.

    Does nothing where the engine was built without a tracker.
    """
    name = folder.resolve().name
    settings = {"wandb": {"name": name}, "mlflow": {"run_name": name}, "trackio": {"name": name}}
    if engine.log_with:
        engine.init_trackers(_PROJECT, config=flat(to_json(config)), init_kwargs=settings)


def track(engine: Accelerator, row: Mapping[str, Any]) -> None:
    """Send the numbers of one row of metrics.jsonl, named kind/field, at the row's step."""
    if not engine.trackers:
        return
    numbers = {name: value for name, value in row.items() if isinstance(value, int | float) and name != "step"}
    engine.log({f"{row['kind']}/{name}": float(value) for name, value in numbers.items()}, step=row["step"])


def end_tracker(engine: Accelerator) -> None:
    """Flush and close; safe to call twice."""
    while engine.trackers:
        engine.trackers.pop().finish()


def flat(values: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Nested settings as one level, names joined by dots; lists and None as text, as trackers take no others."""
    settings: dict[str, Any] = {}
    for name, value in values.items():
        where = f"{path}.{name}".lstrip(".")
        if isinstance(value, Mapping):
            settings |= flat(value, where)
        else:
            settings[where] = value if isinstance(value, bool | int | float | str) else str(value)
    return settings

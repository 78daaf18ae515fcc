"""Experiment trackers through Accelerate. metrics.jsonl is the source of truth; a tracker gets a copy.

A tracker is third-party code that may need an account and a network. If it cannot start, the run does not start; if
it fails later, the run continues without it.
"""

import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from unmask.config import to_json
from unmask.distributed import fail_together
from unmask.errors import UserError
from unmask.runs.metrics import Row
from unmask.wording import printable

_PROJECT = "unmask"
_LONGEST = 240


def require_tracker(name: str | None) -> None:
    """Raise `UserError` if the tracker's package is missing, before anything is trained."""
    if name is None:
        return
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:  # No origin: a plain folder of that name, such as wandb leaves behind.
        raise UserError(f"tracker: {name} is not installed: pip install 'unmask[{name}]'")


@contextmanager
def tracked(engine: Accelerator, folder: Path, config: Any) -> Iterator[None]:
    """Track a run in the body, named after the folder, with the configuration's fields as hyperparameters.

    Does nothing if the engine was built without a tracker.

    Raises:
        UserError: the tracker does not start: no account, no network, an unknown store.
    """
    if engine.log_with:
        _start(engine, folder, config)
    try:
        yield
    finally:
        _end(engine)


def _start(engine: Accelerator, folder: Path, config: Any) -> None:
    name = folder.resolve().name
    settings = {"wandb": {"name": name}, "mlflow": {"run_name": name}, "trackio": {"name": name}}
    with fail_together():
        try:
            engine.init_trackers(_PROJECT, config=flat(to_json(config)), init_kwargs=settings)
        except Exception as error:
            raise UserError(
                f"tracker: {_name(engine)} does not start: {_first_line(error)}; fix that, or omit `tracker`, "
                "and give `resume=True`"
            ) from error


def track(engine: Accelerator, row: Row, step: int) -> None:
    """Send the metrics of one row of metrics.jsonl, named kind/field, at a step."""
    if not engine.trackers:
        return
    numbers = {name: value for name, value in vars(row).items() if isinstance(value, int | float) and name != "step"}
    try:
        engine.log({f"{row.kind}/{name}": float(value) for name, value in numbers.items()}, step=step)
    except Exception as error:
        _say(f"{_name(engine)} fails at step {step}: {_first_line(error)}; the run continues without it")
        engine.trackers.clear()


def _end(engine: Accelerator) -> None:
    """Flush and close."""
    while engine.trackers:
        tracker = engine.trackers.pop()
        try:
            tracker.finish()
        except Exception as error:
            _say(f"{tracker.name} did not close cleanly: {_first_line(error)}; metrics.jsonl is complete")


def _name(engine: Accelerator) -> str:
    return str(engine.log_with[0].value)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0] if len(lines[0]) <= _LONGEST else lines[0][:_LONGEST] + "…"


def _say(what: str) -> None:
    print(printable(f"tracker: {what}"), file=sys.stderr)


def flat(values: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Flatten nested settings, names joined by dots; lists and None become text, which trackers require."""
    settings: dict[str, Any] = {}
    for name, value in values.items():
        where = f"{path}.{name}".lstrip(".")
        if isinstance(value, Mapping):
            settings |= flat(value, where)
        else:
            settings[where] = value if isinstance(value, bool | int | float | str) else str(value)
    return settings

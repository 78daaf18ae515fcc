"""The last sections of every run: notes, configuration and environment."""

from collections.abc import Mapping, Sequence
from typing import Any

from unmask.report.blocks import Fold, Section, Table
from unmask.report.folders import RunFolder
from unmask.report.words import flatten
from unmask.wording import plural


def settings_section(run: RunFolder) -> Section:
    """Configuration and environment, folded."""
    folds = [Fold("Configuration", [_two_columns("Every field of config.json", run.config)])]
    facts = {key: value for key, value in run.environment.items() if key not in ("notes", "bad_files")}
    if facts:
        folds.append(Fold("Environment", [_two_columns("Versions, hardware and data", facts)]))
    return Section("How it was run", folds=folds)


def notes_section(notes: Sequence[str], bad_files: Sequence[str] = ()) -> Section:
    """What the reader must know besides; the same note is shown once."""
    shown = list(dict.fromkeys(notes))
    if bad_files:
        shown.append(f"{plural(len(bad_files), 'unreadable file')} left out: {bad_files[0]} …")
    return Section("Notes", notes=[note[:1].upper() + note[1:] for note in shown])


def describe_data(config: Mapping[str, Any]) -> str:
    """Data and encoder of a run in one line, as far as its configuration names them."""
    data, encoder = config.get("data"), config.get("encoder")
    source = data.get("data") if isinstance(data, Mapping) else data
    name = encoder.get("name", encoder.get("encoder")) if isinstance(encoder, Mapping) else encoder
    parts = [f"data {source}" if source else "", f"encoder {name}" if name else ""]
    return ", ".join(part for part in parts if part)


def _two_columns(caption: str, values: Mapping[str, Any]) -> Table:
    return Table(caption, ("field", "value"), flatten(values))

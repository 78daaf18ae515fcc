"""The last sections of every run: notes, configuration and environment."""

from collections.abc import Sequence
from dataclasses import replace

from unmask.config import ClassifyConfig, CompareConfig, PretrainConfig, to_json
from unmask.report.blocks import Fold, Section, Table
from unmask.report.words import flatten
from unmask.runs.contents import Run
from unmask.wording import plural


def settings_section(run: Run) -> Section:
    """Configuration and environment, folded."""
    folds = [Fold("Configuration", [_two_columns("Every field of config.json", run.config)])]
    if run.environment is not None:
        facts = replace(run.environment, notes=(), bad_files=())
        folds.append(Fold("Environment", [_two_columns("Versions, hardware and data", facts)]))
    return Section("How it was run", folds=folds)


def notes_section(run: Run, before: Sequence[str] = (), after: Sequence[str] = ()) -> Section:
    """Further notes for the reader; equal notes are shown once."""
    facts = run.environment
    notes, bad_files = ((), ()) if facts is None else (facts.notes, facts.bad_files)
    shown = list(dict.fromkeys([*before, *notes, *after]))
    if bad_files:
        shown.append(f"{plural(len(bad_files), 'unreadable file')} left out: {bad_files[0]} …")
    return Section("Notes", notes=[note[:1].upper() + note[1:] for note in shown])


def describe_data(config: PretrainConfig | ClassifyConfig | CompareConfig) -> str:
    """Data and encoder of a run in one line."""
    return f"data {config.data.data}, encoder {config.encoder.encoder}"


def _two_columns(caption: str, record: object) -> Table:
    return Table(caption, ("field", "value"), flatten(to_json(record)))

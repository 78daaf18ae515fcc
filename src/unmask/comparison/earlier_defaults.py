"""Defaults that a comparison found for itself at its start, and keeps when it is resumed."""

from dataclasses import replace
from pathlib import Path

from unmask.config import CompareConfig
from unmask.runs.read import is_run, read_config


def begun_comparison(out: Path, *, resume: bool) -> CompareConfig | None:
    """The configuration of the comparison that is resumed; None if there is none."""
    before = read_config(out) if resume and is_run(out) else None
    return before if isinstance(before, CompareConfig) else None


def with_earlier_defaults(config: CompareConfig, out: Path, *, resume: bool) -> CompareConfig:
    """The comparison with the budgets and the number of pretrainings it started with, as far as none are given."""
    before = begun_comparison(out, resume=resume)
    if before is None:
        return config
    pretrainings = before.pretrainings if config.pretrainings is None else config.pretrainings
    return replace(config, budgets=config.budgets or before.budgets, pretrainings=pretrainings)


def as_kept(config: CompareConfig, found: CompareConfig, out: Path, *, resume: bool) -> CompareConfig:
    """What config.json will hold: the comparison with the number of pretrainings that was found for it.

    A run that an earlier version began has no number there. It stays so, since a run is resumed unchanged.
    """
    before = begun_comparison(out, resume=resume)
    unknown = before is not None and before.pretrainings is None
    return config if unknown else replace(config, pretrainings=found.pretrainings)

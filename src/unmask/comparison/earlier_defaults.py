"""Defaults that a comparison found for itself at its start, and keeps when it is resumed."""

from dataclasses import replace
from pathlib import Path

from unmask.config import CompareConfig
from unmask.runs.layout import LOOKS_FILE
from unmask.runs.read import is_run, read_config


def begun_comparison(out: Path, *, resume: bool) -> CompareConfig | None:
    """The configuration of the comparison that is resumed; None if there is none."""
    before = read_config(out) if resume and is_run(out) else None
    return before if isinstance(before, CompareConfig) else None


def with_earlier_defaults(config: CompareConfig, out: Path, *, resume: bool) -> CompareConfig:
    """The comparison with the budgets and the numbers of pretrainings and draws it started with, as far as none are
    given; if it has looked at its draws, it continues in looks, since the error that they spent is gone."""
    before = begun_comparison(out, resume=resume)
    if before is None:
        return config
    pretrainings = before.pretrainings if config.pretrainings is None else config.pretrainings
    draws = before.draws if config.draws is None else config.draws
    until = "decided" if (out / LOOKS_FILE).exists() and not config.in_looks else config.until
    budgets = config.budgets or before.budgets
    return replace(config, budgets=budgets, pretrainings=pretrainings, draws=draws, until=until)


def as_kept(config: CompareConfig, found: CompareConfig, out: Path, *, resume: bool) -> CompareConfig:
    """What config.json will hold: the comparison with the number of pretrainings that was found for it.

    A run that an earlier version began has no number there. It stays so, since a run is resumed unchanged.
    """
    before = begun_comparison(out, resume=resume)
    unknown = before is not None and before.pretrainings is None
    return config if unknown else replace(config, pretrainings=found.pretrainings)

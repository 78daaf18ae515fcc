"""Splits of a comparison under the names that readers see, so that every caption names the right images.

With `evaluate_on` = val the records call half of the validation images "test"; no section of the page has to know.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from unmask.inference.verdict import shown_split
from unmask.runs.contents import ComparisonRun
from unmask.runs.summary_records import Summary
from unmask.runs.trial_records import TrialResult

_ROWS = (
    "scores",
    "means",
    "differences",
    "verdicts",
    "recommendations",
    "labels_worth",
    "labels_gains",
    "ensembles",
)
"""Fields of a summary whose rows have a split."""


def with_shown_splits(run: ComparisonRun) -> ComparisonRun:
    """The comparison with every split of its records renamed by `shown_split`."""
    shown = partial(shown_split, evaluate_on=run.config.evaluate_on)
    return replace(
        run,
        trials=[_trial(one, shown) for one in run.trials],
        summary=None if run.summary is None else _summary(run.summary, shown),
        gallery=None if run.gallery is None else replace(run.gallery, split=shown(run.gallery.split)),
    )


def _trial(trial: TrialResult, shown: Callable[[str], str]) -> TrialResult:
    return replace(trial, metrics={shown(split): scores for split, scores in trial.metrics.items()})


def _summary(summary: Summary, shown: Callable[[str], str]) -> Summary:
    rows: dict[str, Any] = {name: _rows(getattr(summary, name), shown) for name in _ROWS}
    primary = summary.settings.primary_split
    settings = replace(summary.settings, primary_split=None if primary is None else shown(primary))
    return replace(summary, settings=settings, **rows)


def _rows(rows: Sequence[Any], shown: Callable[[str], str]) -> tuple[Any, ...]:
    return tuple(replace(row, split=shown(row.split)) for row in rows)

"""The rows of a summary: plain JSON values computed from the table of scores."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from unmask.inference.baseline import comparisons
from unmask.inference.estimate import Estimate, interval_of, within
from unmask.inference.hierarchy import estimate_over, paired_differences
from unmask.inference.table import METRICS, Score, Table, seconds_of

Row = dict[str, Any]


def mean_rows(
    table: Table, arms: Sequence[str], budgets: Sequence[int], splits: Sequence[str], confidence: float
) -> list[Row]:
    """Mean score of every arm, budget, split and metric, with its interval; scores are shares: it ends at 0 and 1."""
    columns = [(a, b, s, m) for s in splits for b in budgets for a in arms for m in METRICS]
    return [
        {"arm": a, "budget": b, "split": s, "metric": m, **_share(estimate_over(values), confidence)}
        for a, b, s, m in columns
        if (values := table.get((a, b, s, m)))
    ]


def difference_rows(
    table: Table,
    arms: Sequence[str],
    budgets: Sequence[int],
    splits: Sequence[str],
    best: Mapping[int, str | None],
    confidence: float,
) -> list[Row]:
    """Paired differences with intervals; "baseline_arm" names the arm behind "best scratch arm"."""
    rows = []
    for split, budget, metric in ((s, b, m) for s in splits for b in budgets for m in METRICS):
        for arm, name, baseline in comparisons(arms, best[budget]):
            estimate = paired(table, arm, baseline, budget, split, metric)
            if estimate is not None:
                place = {"arm": arm, "baseline": name, "budget": budget, "split": split, "metric": metric}
                rows.append({**place, **interval_fields(estimate, confidence), "baseline_arm": baseline})
    return rows


def ensemble_gap_rows(table: Table, arms: Sequence[str], budgets: Sequence[int], splits: Sequence[str]) -> list[Row]:
    """Ensemble gap: accuracy of the averaged draws minus the mean accuracy of the single ones."""
    rows = []
    for split, budget, arm in ((s, b, a) for s in splits for b in budgets for a in arms):
        together = table.get((arm, budget, split, "ensemble_accuracy"))
        alone = table.get((arm, budget, split, "accuracy"))
        if together and alone:
            ensemble, mean = float(np.mean(list(together.values()))), float(np.mean(list(alone.values())))
            place = {"arm": arm, "budget": budget, "split": split, "n": len(alone)}
            rows.append({**place, "ensemble": ensemble, "mean": mean, "gap": ensemble - mean})
    return rows


def seconds_rows(scores: Sequence[Score], arms: Sequence[str]) -> list[Row]:
    """Total seconds and number of trials of every arm; pretraining is not in them."""
    totals = {arm: seconds_of(scores, arm) for arm in arms}
    return [{"arm": arm, "seconds": seconds, "trials": count} for arm, (seconds, count) in totals.items()]


def interval_fields(estimate: Estimate, confidence: float) -> Row:
    """mean, low, high, n and method of a difference of shares: the interval ends at -1 and 1."""
    return asdict(within(interval_of(estimate, confidence), -1.0, 1.0))


def _share(estimate: Estimate, confidence: float) -> Row:
    row = asdict(within(interval_of(estimate, confidence), 0.0, 1.0))
    return row | {"method": row["method"].removeprefix("paired ")}  # the scores of one arm are no pairs


def paired(table: Table, arm: str, baseline: str, budget: int, split: str, metric: str) -> Estimate | None:
    """The paired difference of two arms, None if they share no draw."""
    first, second = (table.get((name, budget, split, metric), {}) for name in (arm, baseline))
    differences = paired_differences(first, second)
    return estimate_over(differences) if differences else None

"""The rows of a summary, computed from the table of scores."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from unmask.config.budget import Budget
from unmask.config.metric import SCORES
from unmask.inference.baseline import comparisons
from unmask.inference.estimate import Estimate, interval_of, within
from unmask.inference.evidence import Evidence
from unmask.inference.hierarchy import Key, estimate_over, paired_differences
from unmask.inference.table import Column, Table, seconds_of
from unmask.runs.records import Interval
from unmask.runs.summary_records import ArmSeconds, Difference, EnsembleGap, Mean, Score

Ensembles = Mapping[tuple[str, Budget, str], float]
"""Accuracy of the averaged probabilities of an arm's label draws, by arm, budget and split."""


def mean_rows(
    table: Table,
    arms: Sequence[str],
    budgets: Sequence[Budget],
    splits: Sequence[str],
    confidence: float,
    evidence: Evidence,
) -> list[Mean]:
    """Mean score of every arm, budget, split and metric, with its interval, cut to the range of the score."""
    columns = [(a, b, s, m) for s in splits for b in budgets for a in arms for m in SCORES]
    return [
        Mean(arm=a, budget=b, split=s, metric=m, **vars(_score(_mean(values, evidence, (a, b, s, m)), confidence, m)))
        for a, b, s, m in columns
        if (values := table.get((a, b, s, m)))
    ]


def difference_rows(
    table: Table,
    arms: Sequence[str],
    budgets: Sequence[Budget],
    splits: Sequence[str],
    best: Mapping[Budget, str | None],
    confidence: float,
    evidence: Evidence,
) -> list[Difference]:
    """Paired differences with intervals; `baseline_arm` is the arm behind "best scratch arm"."""
    return [
        Difference(
            arm=arm,
            baseline=name,
            budget=budget,
            split=split,
            metric=metric,
            baseline_arm=baseline,
            **vars(in_its_direction(difference_interval(estimate, confidence, metric), metric)),
        )
        for split, budget, metric in ((s, b, m) for s in splits for b in budgets for m in SCORES)
        for arm, name, baseline in comparisons(arms, best[budget])
        if (estimate := paired(table, arm, baseline, (budget, split, metric), evidence)) is not None
    ]


def ensemble_gap_rows(
    table: Table,
    ensembles: Ensembles,
    arms: Sequence[str],
    budgets: Sequence[Budget],
    splits: Sequence[str],
    metric: str = "accuracy",
) -> list[EnsembleGap]:
    """Ensemble gap: the score of the averaged draws minus the mean score of the single ones."""
    rows = []
    for split, budget, arm in ((s, b, a) for s in splits for b in budgets for a in arms):
        ensemble = ensembles.get((arm, budget, split))
        alone = table.get((arm, budget, split, metric))
        if ensemble is not None and alone:
            mean = float(np.mean(list(alone.values())))
            gap = EnsembleGap(
                arm=arm,
                budget=budget,
                split=split,
                n=len(alone),
                metric=metric,
                ensemble=ensemble,
                mean=mean,
                gap=ensemble - mean,
            )
            rows.append(gap)
    return rows


def seconds_rows(scores: Sequence[Score], arms: Sequence[str]) -> list[ArmSeconds]:
    """Total seconds and number of trials of every arm, without pretraining."""
    totals = {arm: seconds_of(scores, arm) for arm in arms}
    return [ArmSeconds(arm=arm, seconds=seconds, trials=count) for arm, (seconds, count) in totals.items()]


def in_its_direction(interval: Interval, metric: str) -> Interval:
    """The interval of "how much better" as one of "first minus second": reversed if lower is better."""
    if not SCORES[metric].lower_is_better:
        return interval
    low, high = (None if end is None else -end for end in (interval.high, interval.low))
    return replace(interval, mean=SCORES[metric].change(interval.mean), low=low, high=high)


def difference_interval(estimate: Estimate, confidence: float, metric: str) -> Interval:
    """The range of a difference of scores: -1 to 1 for shares."""
    return within(interval_of(estimate, confidence), -SCORES[metric].span, SCORES[metric].span)


def _score(estimate: Estimate, confidence: float, metric: str) -> Interval:
    interval = within(interval_of(estimate, confidence), SCORES[metric].low, SCORES[metric].high)
    return replace(interval, method=interval.method.removeprefix("paired "))  # the scores of one arm are not pairs


def paired(
    table: Table, arm: str, baseline: str, where: tuple[Budget, str, str], evidence: Evidence
) -> Estimate | None:
    """How much better an arm is than another at (budget, split, metric), None if they share no draw."""
    budget, *rest = where
    return paired_between(table, (arm, budget), (baseline, budget), (rest[0], rest[1]), evidence)


def paired_between(
    table: Table, first: tuple[str, Budget], second: tuple[str, Budget], where: tuple[str, str], evidence: Evidence
) -> Estimate | None:
    """How much better the first (arm, budget) is than the second on (split, metric), None if they share no draw."""
    (split, metric), overlaps = where, [evidence.overlap.get(budget, 0.0) for _, budget in (first, second)]
    differences = paired_differences(table.get((*first, *where), {}), table.get((*second, *where), {}))
    if not differences:
        return None
    images = evidence.of_pair(first, second, split) if metric == evidence.metric else None
    if SCORES[metric].lower_is_better:
        differences = {key: -value for key, value in differences.items()}
        images = None if images is None else {key: -values for key, values in images.items()}
    return estimate_over(differences, images, max(overlaps), grouped=evidence.grouped, evaluated=evidence.evaluated)


def _mean(values: Mapping[Key, float], evidence: Evidence, column: Column) -> Estimate:
    arm, budget, split, metric = column
    images = evidence.of(arm, budget, split) if metric == evidence.metric else None
    overlap = evidence.overlap.get(budget, 0.0)
    return estimate_over(values, images, overlap, grouped=evidence.grouped, evaluated=evidence.evaluated)

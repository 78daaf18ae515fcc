"""The scores of a comparison's finished trials as a lookup table."""

from collections.abc import Iterable, Sequence

from unmask.config.budget import Budget
from unmask.config.metric import SCORES, Metric
from unmask.errors import UserError
from unmask.inference.hierarchy import Key
from unmask.runs.summary_records import Score
from unmask.runs.trial_records import TrialResult

Column = tuple[str, Budget, str, str]
"""(arm, budget, split, metric)."""

Table = dict[Column, dict[Key, float]]


def table_of(scores: Iterable[Score]) -> Table:
    """Values by (arm, budget, split, metric), then by (pretraining, label draw), the mean over repeated trainings.

    Raises:
        UserError: the same score is given twice with different values.
    """
    found: dict[Column, dict[Key, dict[int, float]]] = {}
    for score in scores:
        column = (score.arm, score.budget, score.split, score.metric)
        key = (score.pretraining, score.draw)
        known = found.setdefault(column, {}).setdefault(key, {}).setdefault(score.repeat, score.value)
        if known != score.value:
            raise UserError(
                f"two values for one trial: arm, budget, split, metric = {column}, pretraining, draw = {key}"
            )
    return {
        column: {key: sum(repeats.values()) / len(repeats) for key, repeats in values.items()}
        for column, values in found.items()
    }


def scores_of(trial: TrialResult) -> list[Score]:
    """One row for each split and metric of a finished trial; undefined values are left out."""
    return [
        Score(
            arm=trial.arm,
            budget=trial.budget,
            draw=trial.draw,
            pretraining=trial.pretraining,
            repeat=trial.repeat,
            split=split,
            metric=metric,
            value=value,
            seconds=trial.seconds,
        )
        for split, scores in trial.metrics.items()
        for metric in SCORES
        if (value := getattr(scores, metric, None)) is not None
    ]


def labels_of(trials: Iterable[TrialResult]) -> dict[Budget, float]:
    """Labeled training images per budget, the mean over its trials."""
    counts: dict[Budget, list[int]] = {}
    for trial in trials:
        counts.setdefault(trial.budget, []).append(trial.labeled_images)
    return {budget: sum(found) / len(found) for budget, found in counts.items()}


def arms_of(table: Table, order: Sequence[str]) -> list[str]:
    """The arms that have a score: first those in `order`, then the others by name."""
    present = {arm for arm, *_ in table}
    return [arm for arm in order if arm in present] + sorted(present - set(order))


def scored_splits(table: Table) -> list[str]:
    """The splits on which arms are compared: all but "val", or "val" if there is no other; "test" comes first."""
    splits = {split for _, _, split, _ in table}
    return sorted(splits - {"val"} or splits, key=lambda split: (split != "test", split != "multi", split))


def validation_scores(table: Table, arm: str, budget: Budget, metric: Metric = "accuracy") -> dict[Key, float]:
    """Validation scores of an arm."""
    return dict(table.get((arm, budget, "val", metric), {}))


def seconds_of(scores: Iterable[Score], arm: str) -> tuple[float, int]:
    """Total seconds of an arm and its number of trials; a trial's seconds count once, not once per metric."""
    seconds = {(one.budget, one.pretraining, one.repeat, one.draw): one.seconds for one in scores if one.arm == arm}
    return float(sum(seconds.values())), len(seconds)

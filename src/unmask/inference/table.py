"""The scores of a comparison's finished trials as a table that can be looked up."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from unmask.errors import UserError
from unmask.inference.hierarchy import Key

Score = Mapping[str, Any]
"""{"arm", "budget", "draw", "pretraining", "split", "metric", "value", "seconds"}; values are shares in [0, 1]."""

Column = tuple[str, int, str, str]
"""(arm, budget, split, metric)."""

Table = dict[Column, dict[Key, float]]

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "knn_accuracy")
"""What a trial is scored by. Only probes have the last: the accuracy of nearest neighbours on the probe's features."""


def table_of(scores: Iterable[Score]) -> Table:
    """Values by (arm, budget, split, metric), then by (pretraining, label draw). Undefined values are left out.

    Raises:
        UserError: the same score is given twice with different values.
    """
    table: Table = {}
    for score in scores:
        if score["value"] is None:
            continue
        column = (score["arm"], score["budget"], score["split"], score["metric"])
        key = (score["pretraining"], score["draw"])
        known = table.setdefault(column, {}).setdefault(key, float(score["value"]))
        if known != float(score["value"]):
            raise UserError(
                f"two values for one trial: arm, budget, split, metric = {column}, pretraining, draw = {key}"
            )
    return table


def arms_of(table: Table, order: Sequence[str]) -> list[str]:
    """The arms that have a score: first those in `order`, then the others by name."""
    present = {arm for arm, *_ in table}
    return [arm for arm in order if arm in present] + sorted(present - set(order))


def scored_splits(table: Table) -> list[str]:
    """The splits on which arms are compared: all but "val", and "val" where there is no other; "test" comes first."""
    splits = {split for _, _, split, metric in table if metric in METRICS}
    return sorted(splits - {"val"} or splits, key=lambda split: (split != "test", split != "multi", split))


def validation_scores(table: Table, arm: str, budget: int) -> dict[Key, float]:
    """Validation accuracies of an arm: split "val", or metric "val_accuracy" of any split."""
    scores = dict(table.get((arm, budget, "val", "accuracy"), {}))
    for (name, size, _, metric), values in table.items():
        if name == arm and size == budget and metric == "val_accuracy":
            scores = {**values, **scores}
    return scores


def seconds_of(scores: Iterable[Score], arm: str) -> tuple[float, int]:
    """Total seconds of an arm and its number of trials; a trial's seconds count once, not once a metric."""
    seconds = {
        (score["budget"], score["pretraining"], score["draw"]): score["seconds"]
        for score in scores
        if score["arm"] == arm and score.get("seconds") is not None and score["metric"] in (*METRICS, "val_accuracy")
    }
    return float(sum(seconds.values())), len(seconds)

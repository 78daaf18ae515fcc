"""The finished cells of a comparison as a table that can be looked up."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from unmask.errors import UserError
from unmask.evaluate.hierarchy import Key

Cell = Mapping[str, Any]
"""{"arm", "budget", "seed", "pretrain_seed", "split", "metric", "value", "seconds"}; scores are shares in [0, 1]."""

Column = tuple[str, int, str, str]
"""(arm, budget, split, metric)."""

Table = dict[Column, dict[Key, float]]

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "knn_accuracy")
"""Scores of a cell; only probes have the last, the accuracy of nearest neighbours on the features of the probe."""


def table_of(cells: Iterable[Cell]) -> Table:
    """Cells by (arm, budget, split, metric), then by (pretraining seed, label draw). Undefined values are left out.

    Raises:
        UserError: the same cell is given twice with different values.
    """
    table: Table = {}
    for cell in cells:
        if cell["value"] is None:
            continue
        column = (cell["arm"], cell["budget"], cell["split"], cell["metric"])
        key = (cell["pretrain_seed"], cell["seed"])
        known = table.setdefault(column, {}).setdefault(key, float(cell["value"]))
        if known != float(cell["value"]):
            raise UserError(f"two values for one cell: arm, budget, split, metric = {column}, seeds = {key}")
    return table


def arms_of(table: Table, order: Sequence[str]) -> list[str]:
    """The arms that have a cell: first those in `order`, then the others by name."""
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


def seconds_of(cells: Iterable[Cell], arm: str) -> tuple[float, int]:
    """Total seconds of an arm and its number of trained cells; a cell's seconds count once, not once a metric."""
    seconds = {
        (cell["budget"], cell["pretrain_seed"], cell["seed"]): cell["seconds"]
        for cell in cells
        if cell["arm"] == arm and cell.get("seconds") is not None and cell["metric"] in (*METRICS, "val_accuracy")
    }
    return float(sum(seconds.values())), len(seconds)

"""The scores of finished trials → means, paired differences, verdicts and notes: the content of summary.json."""

from collections.abc import Mapping, Sequence
from typing import Any

from unmask.config import JUDGED
from unmask.inference.baseline import best_scratch, competes
from unmask.inference.estimate import Estimate
from unmask.inference.hierarchy import ENOUGH_PRETRAININGS
from unmask.inference.rows import (
    Row,
    difference_rows,
    ensemble_gap_rows,
    interval_fields,
    mean_rows,
    paired,
    seconds_rows,
)
from unmask.inference.table import Score, Table, arms_of, scored_splits, table_of
from unmask.inference.verdict import Place, sentence, verdicts_of
from unmask.wording import plural


def summarise(
    scores: Sequence[Score],
    *,
    budgets: Sequence[int],
    primary_budget: int,
    arms: Sequence[str],
    smallest_effect: float,
    confidence: float,
    notes: Sequence[str] = (),
    primary_split: str | None = None,
) -> dict[str, Any]:
    """Summarise the finished trials of a comparison. A pure function; unfinished comparisons are fine.

    Args:
        scores: one value each: {"arm", "budget", "draw", "pretraining", "split", "metric", "value", "seconds"}; values
            are shares in [0, 1]. metric "ensemble_accuracy" is the accuracy of the averaged draws of an arm.
        budgets: labels a class, in the order of the report.
        primary_budget: the budget declared beforehand, tested at the full level.
        arms: names in the order of the report.
        smallest_effect: difference of accuracy below which arms count as equivalent.
        confidence: level of all intervals.
        notes: what the reader must know besides.
        primary_split: the split of the headline. Default: "test", else "multi", else the first by name.

    Returns:
        "scores" as given; "means" of every arm, budget, split and metric; "differences" (paired, with intervals);
        "verdicts" a budget and split, on accuracy against the best scratch arm, the headline first; "ensembles";
        "seconds" an arm; "settings"; "notes". Plain JSON values.

    Raises:
        UserError: a score is given twice with different values, or a value is not finite.
    """
    table = table_of(scores)
    names = arms_of(table, arms)
    splits = sorted(scored_splits(table), key=lambda split: split != primary_split)
    best = {budget: best_scratch(table, names, budget) for budget in budgets}
    ordered = sorted(budgets, key=lambda budget: budget != primary_budget)
    verdicts = [row for s in splits for row in _verdict_rows(table, s, ordered, best, smallest_effect, confidence)]
    return {
        "scores": [dict(score) for score in scores],
        "means": mean_rows(table, names, budgets, splits, confidence),
        "differences": difference_rows(table, names, budgets, splits, best, confidence),
        "verdicts": verdicts,
        "ensembles": ensemble_gap_rows(table, names, budgets, splits),
        "seconds": seconds_rows(scores, names),
        "settings": {
            "budgets": list(budgets),
            "primary_budget": primary_budget,
            "primary_split": splits[0] if splits else None,
            "smallest_effect": smallest_effect,
            "confidence": confidence,
            "best_scratch": [{"budget": budget, "arm": arm} for budget, arm in best.items()],
        },
        "notes": [*notes, *_own_notes(table, best, verdicts)],
    }


def _verdict_rows(
    table: Table,
    split: str,
    budgets: Sequence[int],
    best: Mapping[int, str | None],
    smallest: float,
    confidence: float,
) -> list[Row]:
    """Accuracy of the judged arm against the best scratch arm, a row a budget; budgets[0] is the primary one."""
    found: dict[int, tuple[str, Estimate]] = {}
    for budget in budgets:
        baseline = best[budget]
        estimate = None if baseline is None else paired(table, JUDGED, baseline, budget, split, "accuracy")
        if baseline is not None and estimate is not None:
            found[budget] = (baseline, estimate)
    primary = 0 if budgets[0] in found else None
    outcomes = verdicts_of([estimate for _, estimate in found.values()], primary, smallest, confidence)
    rows = []
    for (budget, (baseline, estimate)), outcome in zip(found.items(), outcomes, strict=True):
        row: Row = {"budget": budget, "split": split, "baseline": baseline}
        row |= {"verdict": outcome.word, "detectable": outcome.detectable, "primary": budget == budgets[0]}
        place = Place(budget, split, baseline)
        row["sentence"] = sentence(estimate, outcome, place, smallest=smallest, confidence=confidence)
        row |= interval_fields(estimate, confidence)
        rows.append({**row, "p": outcome.p, "p_equivalent": outcome.p_equivalent})
    return rows


def _own_notes(table: Table, best: Mapping[int, str | None], verdicts: Sequence[Row]) -> list[str]:
    """What follows from the design of the comparison itself."""
    notes = []
    encoders = {p for (arm, *_), values in table.items() if arm == JUDGED for p, _ in values if p is not None}
    if 0 < len(encoders) < ENOUGH_PRETRAININGS:
        count = plural(len(encoders), "pretraining")
        notes.append(
            f"The intervals are over label draws and hold for the encoders of {count} only; "
            f"{ENOUGH_PRETRAININGS} or more pretrainings would let them speak about pretraining in general."
        )
    for budget, arm in best.items():
        if arm is None and any(size == budget and competes(name) for name, size, *_ in table):
            notes.append(f"Budget {budget}: no best scratch arm and no verdict, validation accuracies are missing.")
    if any(not row["primary"] for row in verdicts):
        notes.append(
            "The first budget is the primary one, declared beforehand. The verdicts of the other budgets are adjusted "
            "by Holm's method within each split; the intervals shown are not adjusted."
        )
    if not verdicts:
        notes.append(f"No verdict: it needs the arm {JUDGED} and at least one scratch arm with a common label draw.")
    return notes

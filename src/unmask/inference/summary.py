"""The scores of finished trials → means, paired differences, verdicts and notes: the content of summary.json."""

from collections.abc import Mapping, Sequence

from unmask.config import JUDGED, CompareConfig
from unmask.inference.baseline import best_scratch, competes
from unmask.inference.estimate import Estimate
from unmask.inference.hierarchy import ENOUGH_PRETRAININGS
from unmask.inference.rows import (
    Ensembles,
    difference_interval,
    difference_rows,
    ensemble_gap_rows,
    mean_rows,
    paired,
    seconds_rows,
)
from unmask.inference.table import Table, arms_of, scored_splits, scores_of, table_of
from unmask.inference.verdict import Place, decide, sentence
from unmask.runs.comparison_records import BestScratch, Score, Settings, Summary, TrialResult, Verdict
from unmask.wording import plural


def summarize(
    config: CompareConfig, scores: Sequence[Score], *, ensembles: Ensembles | None = None, notes: Sequence[str] = ()
) -> Summary:
    """Summarize the finished trials of a comparison. A pure function; unfinished comparisons are fine.

    Args:
        config: arms and budgets in the order of the report, the first budget tested at the full level; the smallest
            effect that matters; the level of all intervals.
        scores: of the finished trials.
        ensembles: accuracies of the averaged draws, where they were measured.
        notes: what the reader must know besides.

    Raises:
        UserError: a score is given twice with different values, or a value is not finite.
    """
    table = table_of(scores)
    names, splits, budgets = arms_of(table, config.arms), scored_splits(table), config.budgets
    best = {budget: best_scratch(table, names, budget) for budget in budgets}
    verdicts = [row for split in splits for row in _verdicts(table, split, best, config)]
    return Summary(
        scores=tuple(scores),
        means=tuple(mean_rows(table, names, budgets, splits, config.confidence)),
        differences=tuple(difference_rows(table, names, budgets, splits, best, config.confidence)),
        verdicts=tuple(verdicts),
        ensembles=tuple(ensemble_gap_rows(table, ensembles or {}, names, budgets, splits)),
        seconds=tuple(seconds_rows(scores, names)),
        settings=Settings(
            budgets=budgets,
            primary_budget=budgets[0],
            primary_split=splits[0] if splits else None,
            smallest_effect=config.smallest_effect,
            confidence=config.confidence,
            best_scratch=tuple(BestScratch(budget=budget, arm=arm) for budget, arm in best.items()),
        ),
        notes=(*notes, *_own_notes(table, best, verdicts)),
    )


def summarize_so_far(config: CompareConfig, trials: Sequence[TrialResult]) -> Summary:
    """The summary of an unfinished comparison, which says so."""
    note = f"Unfinished: {plural(len(trials), 'trial')} so far. Every figure on this page is preliminary."
    return summarize(config, [score for trial in trials for score in scores_of(trial)], notes=[note])


def _verdicts(table: Table, split: str, best: Mapping[int, str | None], config: CompareConfig) -> list[Verdict]:
    """Accuracy of the judged arm against the best scratch arm, a row per budget; the first one is primary."""
    found: dict[int, tuple[str, Estimate]] = {}
    for budget, baseline in best.items():
        estimate = None if baseline is None else paired(table, JUDGED, baseline, budget, split, "accuracy")
        if baseline is not None and estimate is not None:
            found[budget] = (baseline, estimate)
    first = config.budgets[0]
    smallest, confidence = config.smallest_effect, config.confidence
    estimates = [estimate for _, estimate in found.values()]
    decisions = decide(estimates, 0 if first in found else None, smallest, confidence)
    return [
        Verdict(
            budget=budget,
            split=split,
            baseline=baseline,
            verdict=one.word,
            detectable=one.detectable,
            primary=budget == first,
            sentence=sentence(estimate, one, Place(budget, split, baseline), smallest=smallest, confidence=confidence),
            p=one.p,
            p_equivalent=one.p_equivalent,
            **vars(difference_interval(estimate, confidence)),
        )
        for (budget, (baseline, estimate)), one in zip(found.items(), decisions, strict=True)
    ]


def _own_notes(table: Table, best: Mapping[int, str | None], verdicts: Sequence[Verdict]) -> list[str]:
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
    if any(not row.primary for row in verdicts):
        notes.append(
            "The first budget is the primary one, declared beforehand. The verdicts of the other budgets are adjusted "
            "by Holm's method within each split; the intervals shown are not adjusted."
        )
    if not verdicts:
        notes.append(f"No verdict: it needs the arm {JUDGED} and at least one scratch arm with a common label draw.")
    return notes

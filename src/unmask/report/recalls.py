"""Which classes gain: paired differences of recall, from the finished trials' tables of classes."""

from collections.abc import Sequence

from unmask.config import JUDGED
from unmask.config.budget import Budget, labels_in_words
from unmask.inference.estimate import interval_of
from unmask.inference.hierarchy import Key, estimate_over, paired_differences
from unmask.inference.verdict import describe_split
from unmask.report.blocks import Fold, Plate, Section, Table
from unmask.report.classes import class_differences
from unmask.report.palette import look
from unmask.report.words import interval_text, points
from unmask.runs.contents import ComparisonRun
from unmask.runs.records import Interval
from unmask.runs.scores import ClassificationScores
from unmask.runs.summary_records import Summary
from unmask.runs.trial_records import TrialResult


def class_section(run: ComparisonRun, summary: Summary) -> Section:
    """Recall per class, pretrained minus best scratch, at the primary budget, as a section of a comparison."""
    settings = summary.settings
    budget = settings.primary_budget
    baseline = settings.best(budget)
    plates, tables = [], []
    for split in splits_of(summary) if baseline is not None else ():
        rows = class_intervals(run.trials, JUDGED, str(baseline), budget, split, settings.confidence)
        if not rows:
            continue
        where = describe_split(split)
        alt = f"Difference of recall per class on {where}, in points: " + "; ".join(
            f"{name} {points(interval.mean)}" for name, interval in rows
        )
        plates.append(Plate(class_differences(rows), alt, f"Recall on {where}"))
        lines = [(name, interval_text(interval, points), str(interval.n)) for name, interval in rows]
        tables.append(Table(f"Difference of recall on {where}, points", ("class", "difference [interval]", "n"), lines))
    intro = (
        f"Recall of the pretrained arm minus that of {look(str(baseline)).title.lower()}; {labels_in_words(budget)}. "
        "These intervals are not adjusted for the number of classes: read them as a hint, not as a test."
    )
    folds = [Fold("The same as tables", tables)] if tables else []
    return Section("Which classes gain", intro, plates=plates, folds=folds)


def class_intervals(
    trials: Sequence[TrialResult], arm: str, baseline: str, budget: Budget, split: str, confidence: float
) -> list[tuple[str, Interval]]:
    """Paired difference of recall of every class two arms share, from the finished trials' tables of classes."""
    first, second = (_recalls(trials, name, budget, split) for name in (arm, baseline))
    rows = []
    for name in [name for name in first if name in second]:
        differences = paired_differences(first[name], second[name])
        if differences:
            rows.append((name, interval_of(estimate_over(differences), confidence)))
    return rows


def _recalls(trials: Sequence[TrialResult], arm: str, budget: Budget, split: str) -> dict[str, dict[Key, float]]:
    recalls: dict[str, dict[Key, float]] = {}
    for trial in trials:
        scores = trial.metrics.get(split)
        if (trial.arm, trial.budget) == (arm, budget) and isinstance(scores, ClassificationScores):
            for row in scores.per_class:
                if row.recall is not None:
                    recalls.setdefault(row.name, {})[(trial.pretraining, trial.draw)] = row.recall
    return recalls


def splits_of(summary: Summary) -> list[str]:
    """The kinds of test images of a summary, in its order."""
    return list(dict.fromkeys(row.split for row in summary.means))

"""The scores of finished trials → means, paired differences, verdicts and notes: the content of summary.json."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from unmask.config import ARMS, JUDGED, CompareConfig
from unmask.config.budget import Budget, labels_in_words
from unmask.config.metric import task_of
from unmask.inference.answers import labels_worths, recommendations
from unmask.inference.baseline import Ranking, competes, rank_scratch
from unmask.inference.estimate import Estimate
from unmask.inference.evidence import Evidence
from unmask.inference.label_ways import labels_gains
from unmask.inference.planning import advice, variance_rows
from unmask.inference.rows import (
    Ensembles,
    difference_rows,
    ensemble_gap_rows,
    in_its_direction,
    mean_rows,
    paired,
    seconds_rows,
)
from unmask.inference.table import Table, arms_of, labels_of, scored_splits, scores_of, table_of
from unmask.inference.verdict import Contest, Place, decide, describe_evaluated, sentence
from unmask.runs.scores import ClassificationScores
from unmask.runs.summary_records import BestScratch, Score, Settings, Summary, Verdict
from unmask.runs.trial_records import TrialResult
from unmask.wording import plural


def summarize(
    config: CompareConfig,
    scores: Sequence[Score],
    *,
    ensembles: Ensembles | None = None,
    notes: Sequence[str] = (),
    evidence: Evidence | None = None,
    ensemble_metric: str = "accuracy",
) -> Summary:
    """Summarize the finished trials of a comparison. A pure function; unfinished comparisons are fine.

    Args:
        config: arms and budgets in the order of the report, the first budget tested at the full level; the smallest
            effect that matters; the level of all intervals.
        scores: of the finished trials.
        ensembles: accuracies of the averaged draws, if measured.
        evidence: values per image, tuning draws, images of budgets and images that draws share, if known.
        ensemble_metric: the score of the ensembles.

    Raises:
        UserError: a score is given twice with different values, or a value is not finite.
    """
    table = table_of(scores)
    evidence = replace(evidence or Evidence(), evaluated=describe_evaluated(config.evaluate_on))
    names, splits, budgets = arms_of(table, config.arms or tuple(ARMS)), scored_splits(table), config.budgets
    ranked = {
        budget: rank_scratch(table, names, budget, evidence.tuning.get(budget), config.metric) for budget in budgets
    }
    best = {budget: None if ranking is None else ranking.best for budget, ranking in ranked.items()}
    verdicts = [row for split in splits for row in _verdicts(table, split, ranked, config, evidence)]
    headline = _headline(table, splits, best.get(budgets[0]), config, evidence)
    settings = _settings(config, splits[0] if splits else None, best)
    return Summary(
        task=settings.task,
        scores=tuple(scores),
        means=tuple(mean_rows(table, names, budgets, splits, config.confidence, evidence)),
        differences=tuple(difference_rows(table, names, budgets, splits, best, config.confidence, evidence)),
        verdicts=tuple(verdicts),
        answer=None,
        recommendations=tuple(recommendations(table, splits[0], config, evidence) if splits else ()),
        labels_worth=tuple(labels_worths(table, splits[0], best, config, evidence) if splits else ()),
        labels_gains=tuple(labels_gains(table, splits[0], best, config, evidence) if splits else ()),
        variance=() if headline is None else variance_rows(headline),
        advice="" if headline is None else advice(headline, config.confidence),
        ensembles=tuple(ensemble_gap_rows(table, ensembles or {}, names, budgets, splits, ensemble_metric)),
        seconds=tuple(seconds_rows(scores, names)),
        settings=settings,
        looks=(),
        notes=(*notes, *_own_notes(table, ranked, verdicts)),
    )


def _settings(config: CompareConfig, split: str | None, best: Mapping[Budget, str | None]) -> Settings:
    return Settings(
        task=task_of(config.metric) if config.data.task == "auto" else config.data.task,
        budgets=config.budgets,
        primary_budget=config.budgets[0],
        primary_split=split,
        metric=config.metric,
        smallest_effect=config.smallest_effect,
        confidence=config.confidence,
        best_scratch=tuple(BestScratch(budget=budget, arm=arm) for budget, arm in best.items()),
    )


def summarize_so_far(config: CompareConfig, trials: Sequence[TrialResult]) -> Summary:
    """The summary of an unfinished comparison, which says so."""
    note = f"Unfinished: {plural(len(trials), 'trial')} so far. Every figure on this page is preliminary."
    scores = [score for trial in trials for score in scores_of(trial)]
    found = summarize(config, scores, notes=[note], evidence=Evidence(labeled=labels_of(trials)))
    return with_class_shares(found, trials)


def with_class_shares(summary: Summary, trials: Sequence[TrialResult]) -> Summary:
    """The summary with the scores of naming the most frequent class, and of guessing, on the primary split."""
    split = summary.settings.primary_split
    scores = next((trial.metrics[split] for trial in trials if split in trial.metrics), None)
    if not isinstance(scores, ClassificationScores) or not any(one.images for one in scores.per_class):
        return summary
    return replace(summary, settings=replace(summary.settings, majority=scores.majority, chance=scores.chance))


def _headline(
    table: Table, splits: Sequence[str], baseline: str | None, config: CompareConfig, evidence: Evidence
) -> Estimate | None:
    """The difference behind the first verdict."""
    if not splits or baseline is None:
        return None
    return paired(table, JUDGED, baseline, (config.budgets[0], splits[0], config.metric), evidence)


def _verdicts(
    table: Table, split: str, ranked: Mapping[Budget, Ranking | None], config: CompareConfig, evidence: Evidence
) -> list[Verdict]:
    """The judged arm against the best scratch arm, a row per budget; the first one is primary."""
    found: dict[Budget, tuple[str, Contest]] = {}
    for budget, ranking in ranked.items():
        if ranking is not None and (contest := _contest(table, ranking, (budget, split, config.metric), evidence)):
            found[budget] = (ranking.best, contest)
    first = config.budgets[0]
    smallest, confidence = config.smallest_effect, config.confidence
    contests = [contest for _, contest in found.values()]
    decisions = decide(contests, list(found).index(first) if first in found else None, smallest, confidence)
    return [
        Verdict(
            budget=budget,
            split=split,
            baseline=baseline,
            verdict=one.word,
            scope=contest.scope,
            detectable=one.detectable,
            primary=budget == first,
            sentence=sentence(
                contest,
                one,
                Place(budget, split, baseline, config.metric, config.evaluate_on),
                smallest=smallest,
                confidence=confidence,
            ),
            p=one.p,
            p_equivalent=one.p_equivalent,
            **vars(in_its_direction(contest.interval(confidence, config.metric), config.metric)),
        )
        for (budget, (baseline, contest)), one in zip(found.items(), decisions, strict=True)
    ]


def _contest(table: Table, ranking: Ranking, where: tuple[Budget, str, str], evidence: Evidence) -> Contest | None:
    """The judged arm against the chosen baseline and its rivals, as far as they share draws."""
    first, *others = (paired(table, JUDGED, arm, where, evidence) for arm in (ranking.best, *ranking.rivals))
    return None if first is None else Contest(first, tuple(one for one in others if one is not None))


def _own_notes(table: Table, ranked: Mapping[Budget, Ranking | None], verdicts: Sequence[Verdict]) -> list[str]:
    """Notes that follow from the design of the comparison itself."""
    notes = []
    encoders = {p for (arm, *_), values in table.items() if arm == JUDGED for p, _ in values if p is not None}
    if len(encoders) == 1:
        notes.append(
            "The intervals of pretrained arms hold for this encoder only, another pretraining may differ; three "
            "pretrainings would extend them to pretraining in general."
        )
    for budget, ranking in ranked.items():
        if ranking is None and any(size == budget and competes(name) for name, size, *_ in table):
            notes.append(
                f"With {labels_in_words(budget)}: no best scratch arm and no verdict, validation scores are missing."
            )
        elif ranking is not None and ranking.rivals:
            notes.append(
                f"With {labels_in_words(budget)}: validation cannot tell {', '.join(ranking.rivals)} from "
                f"{ranking.best}, so a gain must hold against each of them; the interval of the verdict reaches down "
                "to the lowest of theirs."
            )
    if any(not row.primary for row in verdicts):
        notes.append(
            "The first budget is the primary one, declared beforehand. The verdicts of the other budgets are adjusted "
            "by Holm's method within each split; the intervals shown are not adjusted."
        )
    if not verdicts:
        notes.append(f"A verdict needs the arm {JUDGED} and at least one scratch arm with a common label draw.")
    return notes

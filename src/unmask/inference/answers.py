"""Answers from a finished table: what to do, how many labels pretraining is worth, what to add."""

from collections.abc import Mapping

from unmask.config import JUDGED, CompareConfig
from unmask.config.budget import Budget, parse_budget
from unmask.config.metric import Metric
from unmask.inference.baseline import Ranking, rank_on_validation
from unmask.inference.estimate import Estimate
from unmask.inference.evidence import Evidence
from unmask.inference.labels_worth import labels_worth
from unmask.inference.recommend import compared_with, other_starts, recommend, same_start, with_way
from unmask.inference.rows import paired, paired_between
from unmask.inference.table import Table
from unmask.inference.verdict import Contest, Place
from unmask.runs.summary_records import LabelsWorth, Recommendation


def ranking_of(table: Table, where: tuple[Budget, str, str], evidence: Evidence) -> Ranking | None:
    """The alternatives at a (budget, split, metric), ranked by tuning draws: the arms in the table that they have
    measured; None if there are none."""
    tuning = {arm: rows for arm, rows in evidence.tuning.get(where[0], {}).items() if (arm, *where) in table}
    return rank_on_validation(tuning) if tuning else None


def differences_of(
    table: Table, where: tuple[Budget, str, str], evidence: Evidence, ranking: Ranking
) -> dict[str, Estimate] | None:
    """By how much the best of a ranking is better on test images than the others, by their names.

    None if there are no others, or if a difference to be judged is not in the table yet.
    """
    found = {arm: paired(table, ranking.best, arm, where, evidence) for arm in compared_with(ranking)}
    differences = {arm: estimate for arm, estimate in found.items() if estimate is not None}
    return differences if found and len(differences) == len(found) else None


def contest_of(table: Table, where: tuple[Budget, str, str], evidence: Evidence) -> Contest | None:
    """The question that a comparison decides: the recommended arm against the best from other starting weights."""
    ranking = ranking_of(table, where, evidence)
    differences = None if ranking is None else differences_of(table, where, evidence, other_starts(ranking))
    if ranking is None or differences is None:
        return None
    against, *rivals = compared_with(other_starts(ranking))
    return Contest(differences[against], tuple(differences[arm] for arm in rivals))


def recommendations(table: Table, split: str, config: CompareConfig, evidence: Evidence) -> list[Recommendation]:
    """What to do per budget, if there is a choice."""
    found = (_recommendation(table, (budget, split, config.metric), config, evidence) for budget in config.budgets)
    return [one for one in found if one is not None]


def _recommendation(
    table: Table, where: tuple[Budget, str, Metric], config: CompareConfig, evidence: Evidence
) -> Recommendation | None:
    """Which weights to start from and, where that is clear, how to use them."""
    ranking = ranking_of(table, where, evidence)
    if ranking is None:
        return None
    budget, split, metric = where
    place = Place(budget, split, "", metric, config.evaluate_on)
    smallest, confidence = config.smallest_effect, config.confidence
    starts, ways = other_starts(ranking), same_start(ranking)
    of_starts, of_ways = (differences_of(table, where, evidence, one) for one in (starts, ways))
    if of_starts is None:
        return None
    found = recommend(starts, of_starts, place, smallest=smallest, confidence=confidence)
    if of_ways is None:
        return found
    way = recommend(ways, of_ways, place, smallest=smallest, confidence=confidence)
    return with_way(found, way, place, confidence)


def _way(budget: Budget) -> str | None:
    """How the images of a budget are selected, if a comparison asks for that."""
    return parse_budget(budget).labels


def labels_worths(
    table: Table, split: str, best: Mapping[Budget, str | None], config: CompareConfig, evidence: Evidence
) -> list[LabelsWorth]:
    """Per budget: how many times the labels the judged arm is worth, against the best scratch arm of each."""
    rows: list[LabelsWorth | None] = []
    for budget in config.budgets:
        found = {
            size: paired_between(table, (JUDGED, budget), (arm, size), (split, config.metric), evidence)
            for size, arm in best.items()
            if arm is not None and size in evidence.labeled and _way(size) == _way(budget)
        }
        differences = {size: estimate for size, estimate in found.items() if estimate is not None}
        if budget in differences:
            place = Place(budget, split, "", config.metric, config.evaluate_on)
            rows.append(labels_worth(differences, evidence.labeled, place, confidence=config.confidence))
    return [row for row in rows if row is not None]

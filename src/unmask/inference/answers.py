"""Answers from a finished table: what to do, how many labels pretraining is worth, what to add."""

from collections.abc import Callable, Mapping

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


def choice_of(
    table: Table,
    where: tuple[Budget, str, str],
    evidence: Evidence,
    others: Callable[[Ranking], Ranking],
) -> tuple[Ranking, dict[str, Estimate]] | None:
    """What tuning draws recommend at a (budget, split, metric), and by how much it is better than `others` on test
    images.

    Alternatives are the arms in the table that tuning draws have measured. None if all are the same choice, or if a
    difference to be judged is not in the table yet.
    """
    tuning = {arm: rows for arm, rows in evidence.tuning.get(where[0], {}).items() if (arm, *where) in table}
    if not tuning:
        return None
    ranking = others(rank_on_validation(tuning))
    found = {arm: paired(table, ranking.best, arm, where, evidence) for arm in compared_with(ranking)}
    differences = {arm: estimate for arm, estimate in found.items() if estimate is not None}
    return (ranking, differences) if found and len(differences) == len(found) else None


def contest_of(table: Table, where: tuple[Budget, str, str], evidence: Evidence) -> Contest | None:
    """The question that a comparison decides: the recommended arm against the best from other starting weights."""
    found = choice_of(table, where, evidence, other_starts)
    if found is None:
        return None
    against, *rivals = compared_with(found[0])
    return Contest(found[1][against], tuple(found[1][arm] for arm in rivals))


def recommendations(table: Table, split: str, config: CompareConfig, evidence: Evidence) -> list[Recommendation]:
    """What to do per budget, if there is a choice."""
    found = (_recommendation(table, (budget, split, config.metric), config, evidence) for budget in config.budgets)
    return [one for one in found if one is not None]


def _recommendation(
    table: Table, where: tuple[Budget, str, Metric], config: CompareConfig, evidence: Evidence
) -> Recommendation | None:
    """Which weights to start from and, where that is clear, how to use them."""
    starts, ways = (choice_of(table, where, evidence, others) for others in (other_starts, same_start))
    if starts is None:
        return None
    budget, split, metric = where
    place, smallest, confidence = Place(budget, split, "", metric), config.smallest_effect, config.confidence
    found = recommend(*starts, place, smallest=smallest, confidence=confidence)
    if ways is None:
        return found
    way = recommend(*ways, place, smallest=smallest, confidence=confidence)
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
            place = Place(budget, split, "", config.metric)
            rows.append(labels_worth(differences, evidence.labeled, place, confidence=config.confidence))
    return [row for row in rows if row is not None]

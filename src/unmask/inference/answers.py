"""What a user asks a finished table: what to do, how many labels pretraining is worth, what to add."""

from collections.abc import Mapping

from unmask.config import JUDGED, CompareConfig
from unmask.inference.baseline import rank_on_validation
from unmask.inference.evidence import Evidence
from unmask.inference.labels_worth import labels_worth
from unmask.inference.recommend import compared_with, recommend
from unmask.inference.rows import paired, paired_between
from unmask.inference.table import Table
from unmask.inference.verdict import Place
from unmask.runs.comparison_records import LabelsWorth, Recommendation


def recommendations(table: Table, split: str, config: CompareConfig, evidence: Evidence) -> list[Recommendation]:
    """Per budget what to do, among the arms that tuning draws have measured; none where the judged arm is not one."""
    rows = []
    for budget in config.budgets:
        where = (budget, split, config.metric)
        tuning = {arm: rows for arm, rows in evidence.tuning.get(budget, {}).items() if (arm, *where) in table}
        if JUDGED not in tuning or len(tuning) < 2:
            continue
        ranking = rank_on_validation(tuning)
        found = {arm: paired(table, ranking.best, arm, where, evidence) for arm in compared_with(ranking)}
        differences = {arm: estimate for arm, estimate in found.items() if estimate is not None}
        if len(differences) == len(found):
            smallest, confidence = config.smallest_effect, config.confidence
            rows.append(
                recommend(
                    ranking,
                    differences,
                    Place(budget, split, "", config.metric),
                    smallest=smallest,
                    confidence=confidence,
                )
            )
    return rows


def labels_worths(
    table: Table, split: str, best: Mapping[int, str | None], config: CompareConfig, evidence: Evidence
) -> list[LabelsWorth]:
    """Per budget how many times the labels the judged arm is worth, against the best scratch arm of every budget."""
    rows = []
    for budget in config.budgets:
        found = {
            size: paired_between(table, (JUDGED, budget), (arm, size), (split, config.metric), evidence)
            for size, arm in best.items()
            if arm is not None
        }
        differences = {size: estimate for size, estimate in found.items() if estimate is not None}
        worth = (
            labels_worth(differences, budget, split, confidence=config.confidence) if budget in differences else None
        )
        rows += [] if worth is None else [worth]
    return rows

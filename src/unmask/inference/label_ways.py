"""The gain from choosing which images get labels, beside the gain from pretraining, at equal totals."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from unmask.config import JUDGED, CompareConfig
from unmask.config.budget import Budget, Labels, parse_budget
from unmask.inference.evidence import Evidence
from unmask.inference.rows import in_its_direction, paired_between
from unmask.inference.table import Table
from unmask.inference.verdict import Contest, decide
from unmask.runs.summary_records import LabelsGain


@dataclass(frozen=True)
class _Question:
    """One side and the other: (arm, budget)."""

    what: Literal["labels", "pretraining", "both"]
    first: tuple[str, Budget]
    second: tuple[str, Budget]


def labels_gains(
    table: Table, split: str, best: Mapping[Budget, str | None], config: CompareConfig, evidence: Evidence
) -> list[LabelsGain]:
    """Paired differences at equal totals: of the judged arm and of the best scratch arm between ways to select labels;
    of pretraining in each way; and of both together, against scratch with labels selected in the plainest way.

    The scratch arm is the best one with labels selected in the plainest way, so that it is the same on both sides.
    All rows are one family, adjusted by Holm's method.

    Args:
        split: split of the test images.
        best: the best scratch arm of each budget.
        config: with its budgets; the smallest effect that matters; the level.
        evidence: values per image, and the images that draws share.
    """
    asked = [
        (one, paired_between(table, one.first, one.second, (split, config.metric), evidence))
        for one in _questions(config.budgets, best)
    ]
    found = [(one, Contest(estimate)) for one, estimate in asked if estimate is not None]
    decisions = decide([contest for _, contest in found], None, config.smallest_effect, config.confidence)
    return [
        LabelsGain(
            what=one.what,
            split=split,
            arm=one.first[0],
            budget=one.first[1],
            sd=_spread(table, one.first, split, config),
            against_arm=one.second[0],
            against_budget=one.second[1],
            against_sd=_spread(table, one.second, split, config),
            verdict=decision.word,
            p=decision.p,
            **vars(in_its_direction(contest.interval(config.confidence, config.metric), config.metric)),
        )
        for (one, contest), decision in zip(found, decisions, strict=True)
    ]


def _questions(budgets: tuple[Budget, ...], best: Mapping[Budget, str | None]) -> Iterator[_Question]:
    """Total by total, against the first way of `_PLAINEST` that was used."""
    totals: dict[float, dict[Labels, Budget]] = {}
    for budget in budgets:
        amount = parse_budget(budget)
        if amount.labels is not None:
            totals.setdefault(amount.value, {})[amount.labels] = budget
    for ways in totals.values():
        plain = next(way for way in _PLAINEST if way in ways)
        others, scratch = [ways[way] for way in ways if way != plain], best.get(ways[plain])
        if not others:
            continue
        arms = [JUDGED, *([scratch] if scratch is not None else [])]
        yield from (_Question("labels", (arm, other), (arm, ways[plain])) for other in others for arm in arms)
        if "chosen" in ways and "balanced" in ways and plain != "balanced":
            yield from (_Question("labels", (arm, ways["chosen"]), (arm, ways["balanced"])) for arm in arms)
        if scratch is not None:
            yield from (_Question("pretraining", (JUDGED, one), (scratch, one)) for one in ways.values())
            yield from (_Question("both", (JUDGED, other), (scratch, ways[plain])) for other in others)


_PLAINEST: tuple[Labels, ...] = ("random", "balanced", "chosen")


def _spread(table: Table, place: tuple[str, Budget], split: str, config: CompareConfig) -> float | None:
    values = list(table.get((*place, split, config.metric), {}).values())
    return float(np.std(values, ddof=1)) if len(values) > 1 else None

"""Which arms are compared with each other, and the baseline that a gain counts against."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unmask.config import ARMS, JUDGED
from unmask.config.budget import Budget
from unmask.config.metric import SCORES, Metric
from unmask.inference.estimate import p_at_most
from unmask.inference.hierarchy import Key, estimate_over
from unmask.inference.table import Table, validation_scores

BEST = "best scratch arm"
"""Name of the baseline that is chosen per budget on validation data."""

SCREEN = 0.05
"""An arm cannot be the best if validation rejects "it is as good" at this one-sided level."""


@dataclass(frozen=True)
class Ranking:
    """A ranking of arms on validation images: the best one, and those that cannot be told from the best."""

    best: str
    rivals: tuple[str, ...]
    """Without the best one; better ones on validation first."""
    beaten: tuple[str, ...] = ()
    """The remaining arms, better ones first."""


def rank_on_validation(correct: Mapping[str, NDArray[np.float64]]) -> Ranking:
    """The best arm by mean validation score, and the arms that could be as good according to validation; `correct` are
    `image_scores` of each arm, (tuning draws, validation images), NaN where unreadable; or values `per_group`.

    The difference best - arm is judged over tuning draws and validation images (`estimate_over`); an arm
    whose difference is not clearly above zero is a rival. With one tuning draw nothing is known about other draws, with
    one image or group nothing about others: all are rivals. The first arm in order wins a tie.
    """
    means = {arm: float(np.nanmean(values)) for arm, values in correct.items()}
    best, *others = sorted(means, key=lambda arm: -means[arm])
    rivals = [arm for arm in others if _p_better(correct[best], correct[arm]) >= SCREEN]
    return Ranking(best, tuple(rivals), tuple(arm for arm in others if arm not in rivals))


def _p_better(best: NDArray[np.float64], arm: NDArray[np.float64]) -> float:
    """P-value of "the best arm is not better than this one"."""
    if best.shape[1] < 2:
        return 1.0
    images: dict[Key, NDArray[np.float64]] = {(None, draw): row for draw, row in enumerate(best - arm)}
    values = {key: float(np.nanmean(row)) for key, row in images.items()}
    return p_at_most(estimate_over(values, images), 0.0)


def competes(arm: str) -> bool:
    """Whether an arm may be the baseline of a verdict; an unknown arm may not."""
    return arm in ARMS and ARMS[arm].competes


def rank_scratch(
    table: Table,
    arms: Sequence[str],
    budget: Budget,
    tuning: Mapping[str, NDArray[np.float64]] | None = None,
    metric: Metric = "accuracy",
) -> Ranking | None:
    """The scratch arms of a budget, ranked by validation only; test data is not used.

    With `tuning` (see `rank_on_validation`) the choice is made there; a scored scratch arm missing there is a rival.
    Else by mean validation score over the label draws that all candidates have finished, and all others are rivals:
    the choice was made on networks that are reported, so a gain must hold against every arm. The first in order wins a
    tie. None if there is no scratch arm, or several of which one has no validation accuracy.
    """
    present = {arm for arm, size, split, _ in table if size == budget and split != "val" and competes(arm)}
    present = present or {arm for arm, size, *_ in table if size == budget and competes(arm)}
    candidates = [arm for arm in arms if arm in present]
    if len(candidates) < 2:
        return Ranking(candidates[0], ()) if candidates else None
    measured = {arm: tuning[arm] for arm in candidates if arm in tuning} if tuning else {}
    if measured:
        found = rank_on_validation(measured)
        unmeasured = [arm for arm in candidates if arm not in measured]
        return Ranking(found.best, (*found.rivals, *unmeasured), found.beaten)
    scores = {arm: validation_scores(table, arm, budget, metric) for arm in candidates}
    common = set.intersection(*(set(values) for values in scores.values()))
    if not common:
        return None
    means = {arm: float(np.mean([scores[arm][key] for key in sorted(common, key=str)])) for arm in candidates}
    merits = {arm: SCORES[metric].merit(value) for arm, value in means.items()}
    best, *rivals = sorted(candidates, key=lambda arm: -merits[arm])
    return Ranking(best, tuple(rivals))


def comparisons(arms: Sequence[str], best: str | None) -> list[tuple[str, str, str]]:
    """The paired comparisons of a budget, the verdict first: (arm, name of the baseline, arm that is the baseline)."""
    pairs = [(JUDGED, BEST, best)] if best is not None else []
    known = [ARMS[name] for name in arms if name in ARMS]
    return pairs + [(arm, baseline.name, baseline.name) for baseline in known for arm in baseline.baseline_of]

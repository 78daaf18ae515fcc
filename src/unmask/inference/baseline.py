"""Which arms are compared with which, and the baseline a gain counts against."""

from collections.abc import Sequence

import numpy as np

from unmask.config import ARMS, JUDGED
from unmask.inference.table import Table, validation_scores

BEST = "best scratch arm"
"""Name of the baseline that is chosen per budget on validation data."""


def competes(arm: str) -> bool:
    """Whether an arm may be the baseline that a verdict counts against; one that is not known may not."""
    return arm in ARMS and ARMS[arm].competes


def best_scratch(table: Table, arms: Sequence[str], budget: int) -> str | None:
    """The scratch arm with the highest mean validation accuracy at this budget; test data has no say.

    Means are over the label draws all candidates have finished. The first arm in order wins a tie. None if there is no
    scratch arm, or several of which one has no validation accuracy.
    """
    present = {arm for arm, size, _, _ in table if size == budget and competes(arm)}
    candidates = [arm for arm in arms if arm in present]
    if len(candidates) < 2:
        return candidates[0] if candidates else None
    scores = {arm: validation_scores(table, arm, budget) for arm in candidates}
    common = set.intersection(*(set(values) for values in scores.values()))
    if not common:
        return None
    means = {arm: float(np.mean([scores[arm][key] for key in sorted(common, key=str)])) for arm in candidates}
    return max(candidates, key=lambda arm: means[arm])


def comparisons(arms: Sequence[str], best: str | None) -> list[tuple[str, str, str]]:
    """The paired comparisons of a budget, the verdict first: (arm, name of the baseline, arm that is the baseline)."""
    pairs = [(JUDGED, BEST, best)] if best is not None else []
    known = [ARMS[name] for name in arms if name in ARMS]
    return pairs + [(arm, baseline.name, baseline.name) for baseline in known for arm in baseline.baseline_of]

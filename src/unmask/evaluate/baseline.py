"""Which arms are compared with which, and the baseline a gain counts against."""

from collections.abc import Sequence

import numpy as np

from unmask.evaluate.table import Table, validation_scores

BEST = "best scratch arm"
"""Name of the baseline that is chosen per budget on validation data."""


def best_scratch(table: Table, arms: Sequence[str], budget: int) -> str | None:
    """The scratch arm with the highest mean validation accuracy at this budget; test data has no say.

    Means are over the label draws all candidates have finished. The first arm in order wins a tie. None if there is no
    scratch arm, or several of which one has no validation accuracy.
    """
    present = {arm for arm, size, _, _ in table if size == budget and arm.startswith("scratch")}
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
    """The paired comparisons of a budget as (arm, name of the baseline, arm that is the baseline)."""
    scratch = [("mrp", arm, arm) for arm in arms if arm.startswith("scratch")]
    against_best = [("mrp", BEST, best)] if best is not None else []
    fixed = [("probe_mrp", "probe_random"), ("given_mrp", "given"), ("mrp", "given")]
    return against_best + scratch + [(arm, baseline, baseline) for arm, baseline in fixed]

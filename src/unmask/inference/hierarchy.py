"""Paired differences over pretrainings and label draws: which of them are independent, and what follows.

Letters: P pretrainings, S label draws, d[p, s] the difference of two arms for pretraining p on draw s.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from unmask.inference.estimate import Estimate, estimate_mean
from unmask.wording import plural

Key = tuple[int | None, int]
"""(pretraining, label draw), both indices; the pretraining is None for an arm without pretraining."""

ENOUGH_PRETRAININGS = 5


def paired_differences(arm: Mapping[Key, float], baseline: Mapping[Key, float]) -> dict[Key, float]:
    """Differences arm - baseline over the trials both have.

    A trial is paired with the baseline's trial of the same pretraining and draw, or, where one side has no pretraining,
    with its trial of the same draw.
    """
    pairs: dict[Key, float] = {}
    for (pretraining, draw), value in arm.items():
        for key in ((pretraining, draw), (None, draw)):
            if key in baseline:
                pairs[(pretraining, draw)] = value - baseline[key]
                break
        else:
            if pretraining is None:
                others = {key: value - other for key, other in baseline.items() if key[1] == draw}
                pairs.update(others)
    return pairs


def estimate_over(values: Mapping[Key, float]) -> Estimate:
    """The mean over pretrainings and draws with the uncertainty that its design allows.

    - No pretraining: the draws are the units.
    - Fewer than five pretrainings: the mean over pretrainings of each draw is a unit; the interval is over label
      draws and holds for these encoders only, which `method` says.
    - Five or more, every one on every draw: two-way random effects (`crossed`), since pretrainings share the draws.
    - Five or more otherwise: the mean over draws of each pretraining is a unit.

    Raises:
        UserError: there is no value, or one is not finite.
    """
    pretrainings = sorted({p for p, _ in values if p is not None})
    draws = sorted({s for _, s in values})
    if not pretrainings:
        return _named(estimate_mean(_means(values, 1)), "over label draws")
    if len(pretrainings) < ENOUGH_PRETRAININGS:
        where = f"over label draws, conditional on {plural(len(pretrainings), 'pretraining')}"
        return _named(estimate_mean(_means(values, 1)), where)
    if len(draws) == 1:
        return _named(estimate_mean(_means(values, 0)), "over pretrainings, conditional on 1 label draw")
    if len(values) == len(pretrainings) * len(draws):
        return crossed(np.array([[values[(p, s)] for s in draws] for p in pretrainings]))
    return _named(estimate_mean(_means(values, 0)), "over pretrainings, averaged over their label draws")


def crossed(table: NDArray[np.float64]) -> Estimate:
    """Grand mean of d[p, s] = mean + a_p + b_s + e_ps, all three random, shape (P, S), P and S at least 2.

    Its variance (σ_a² / P + σ_b² / S + σ_e² / (P S)) is estimated by (MS_a + MS_b - MS_e) / (P S), never by less than
    the larger of MS_a and MS_b alone, with Satterthwaite's degrees of freedom (Biometrics Bulletin 2, 1946).
    """
    P, S = table.shape
    mean = float(table.mean())
    rows, columns = table.mean(axis=1) - mean, table.mean(axis=0) - mean
    rest = table - mean - rows[:, None] - columns[None, :]
    ms_a = S * float(rows @ rows) / (P - 1)
    ms_b = P * float(columns @ columns) / (S - 1)
    ms_e = float((rest**2).sum()) / ((P - 1) * (S - 1))
    method = "paired t, two-way random effects over pretrainings and label draws"
    if max(ms_a, ms_b) <= 1e-24 * max(1.0, mean**2):
        return Estimate(mean, P, "no spread", None, 0.0)
    total = max(ms_a + ms_b - ms_e, ms_a, ms_b)
    freedom = total**2 / (ms_a**2 / (P - 1) + ms_b**2 / (S - 1) + ms_e**2 / ((P - 1) * (S - 1)))
    freedom = min(max(freedom, min(P, S) - 1.0), P * S - 1.0)
    return Estimate(mean, P, method, math.sqrt(total / (P * S)), freedom)


def _means(values: Mapping[Key, float], axis: int) -> list[float]:
    """Means of the values that share a pretraining (axis 0) or a draw (axis 1), in the order of that key."""
    groups: dict[int, list[float]] = {}
    for key, value in values.items():
        groups.setdefault(int(key[axis] or 0), []).append(value)
    return [float(np.mean(groups[name])) for name in sorted(groups)]


def _named(estimate: Estimate, units: str) -> Estimate:
    return replace(estimate, method=f"{estimate.method} {units}")

"""Paired intervals and adjusted tests in the words of the protocol (docs/comparison.md)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unmask.evaluate.estimate import estimate_mean, interval_of
from unmask.runs.records import Interval

Values = Sequence[float] | NDArray[np.float64]


def paired_interval(differences: Values, confidence: float = 0.95, seed: int = 0) -> Interval:
    """Confidence interval of the mean of independent paired differences, shape (n,).

    n = 1: no interval (method "single"). All equal: no interval (method "no spread"). 2 ≤ n < 10: paired t.
    n ≥ 10: expanded percentile bootstrap of 10,000 resamples from `seed`.
    """
    return interval_of(estimate_mean(differences, seed), confidence)


def holm(p_values: Values) -> list[float]:
    """Holm's step-down adjustment (1979): reject where the adjusted value is below the level of the whole family.

    With p sorted upwards, adjusted p_(i) = max over j ≤ i of min(1, (m - j + 1) p_(j)), j counted from 1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    steps = np.minimum(1.0, np.arange(p.size, 0, -1) * p[order])
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(steps)
    return [float(value) for value in adjusted]

"""AUROC of many units for many parts at once.

Letters: N images, U units, P parts.
"""

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_NUMBERS = 2**22
"""Numbers in memory at a time; does not change the result."""


def auroc_matrix(values: Floats, positive: Bools, negative: Bools) -> Floats:
    """AUROC of every unit for every part: the probability that a positive image has a larger value than a negative one.

    A = (1 / (n₊ n₋)) Σ_{i positive} (#{negatives below v_i} + ½ #{negatives equal to v_i}), the Mann-Whitney statistic
    with ties counted as one half. Each unit is sorted once; images that are neither do not count.

    Args:
        values: responses, (N, U).
        positive: (N, P).
        negative: (N, P), disjoint from `positive`.

    Returns:
        (U, P); NaN for parts without a positive or without a negative image.
    """
    n, units = values.shape
    out = np.empty((units, positive.shape[1]))
    step = max(1, _NUMBERS // max(1, n * positive.shape[1]))
    order = np.argsort(values, axis=0, kind="stable").T
    for at in range(0, units, step):
        rows = order[at : at + step]
        ranked = np.take_along_axis(values.T[at : at + step], rows, 1)
        first, last = _ties(ranked)
        below = np.zeros((len(rows), n + 1, positive.shape[1]), np.int32)
        np.cumsum(negative[rows], axis=1, out=below[:, 1:])
        under = np.take_along_axis(below, first[:, :, None], 1)
        upto = np.take_along_axis(below, last[:, :, None], 1)
        out[at : at + step] = ((under + upto) * positive[rows]).sum(1, dtype=np.float64) / 2
    pairs = positive.sum(0, dtype=np.float64) * negative.sum(0)
    return np.divide(out, pairs, out=np.full_like(out, np.nan), where=pairs > 0)


def _ties(ranked: Floats) -> tuple[Ints, Ints]:
    """First position of each value's ties and the position after the last, for rows in rising order, (U, N) each."""
    n = ranked.shape[1]
    at = np.broadcast_to(np.arange(n), ranked.shape)
    new = np.ones(ranked.shape, bool)
    new[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    first = np.maximum.accumulate(np.where(new, at, 0), axis=1)
    ends = np.ones(ranked.shape, bool)
    ends[:, :-1] = new[:, 1:]
    last = np.minimum.accumulate(np.where(ends, at + 1, n)[:, ::-1], axis=1)[:, ::-1]
    return first, last

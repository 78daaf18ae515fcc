"""How much pretrainings, label draws and test images each contribute to the uncertainty of a mean.

Letters: P pretrainings, S label draws, n test images; y[p, s, i] the value of a trial (or of a pair of trials) on a
test image. All mean squares are on the scale of the grand mean's variance: the mean square of a margin with k units is
the variance of its k means, divided by k.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

Source = Literal["pretraining", "draw", "image", "pretraining x draw", "pretraining x image", "draw x image", "rest"]
"""What a component varies over. A label draw has its own training seed: "draw" is both together."""

LEVEL = 0.95
"""Level at which the degrees of freedom of a sum are calibrated."""

CAUTION = 2 / 3
"""Weight of the cautious of two half widths, in their geometric mean. See `freedom_of` and docs/comparison.md."""


@dataclass(frozen=True)
class Component:
    """One independent part of a mean's variance: `variance` = σ² / `count`, estimated with `freedom` degrees."""

    source: Source
    variance: float
    freedom: float
    count: int
    """Over how many units of the source the mean goes."""


def crossed_components(values: NDArray[np.float64]) -> list[Component]:
    """Components of the grand mean where every pretraining meets every draw, all on the same images.

    y[p, s, i] = mean + a_p + b_s + c_i + (ab)_ps + (ac)_pi + (bc)_si + rest, all random: the usual analysis of
    variance, with negative estimates set to zero.

    Args:
        values: shape (P, S, n), P and S at least 2; n = 1 for scores of which no values per image are known.
    """
    P, S, n = values.shape
    a, b, c = P - 1, S - 1, n - 1
    effect = _effects(values)
    square = {axes: float((part**2).sum()) / part.size for axes, part in effect.items()}
    # on the scale of the mean: sum of squares / (units of the margin × degrees of freedom)
    ms_ab = square["ab"] / (a * b)
    if n == 1:
        ms = (square["a"] / a, square["b"] / b)
        return [
            Component("pretraining", max(ms[0] - ms_ab, 0.0), a, P),
            Component("draw", max(ms[1] - ms_ab, 0.0), b, S),
            Component("pretraining x draw", ms_ab, a * b, P * S),
        ]
    rest = square["abc"] / (a * b * c)
    ms_ac, ms_bc = square["ac"] / (a * c), square["bc"] / (b * c)
    return [
        Component("pretraining", max(square["a"] / a - ms_ab - ms_ac + rest, 0.0), a, P),
        Component("draw", max(square["b"] / b - ms_ab - ms_bc + rest, 0.0), b, S),
        Component("image", max(square["c"] / c - ms_ac - ms_bc + rest, 0.0), c, n),
        Component("pretraining x draw", max(ms_ab - rest, 0.0), a * b, P * S),
        Component("pretraining x image", max(ms_ac - rest, 0.0), a * c, P * n),
        Component("draw x image", max(ms_bc - rest, 0.0), b * c, S * n),
        Component("rest", rest, a * b * c, P * S * n),
    ]


def nested_components(values: NDArray[np.float64], pretraining: NDArray[np.int64]) -> list[Component]:
    """Components of the mean over trials where each draw belongs to one pretraining (the diagonal design).

    y[s, i] = mean + a_p(s) + b_s + c_i + (ac)_p(s)i + rest. Pretrainings may differ in their number of draws; the
    pretraining's component is then estimated as for equal numbers (the usual n0).

    Args:
        values: shape (S, n); n = 1 for scores of which no values per image are known.
        pretraining: the pretraining of every draw, shape (S,), at least 2 different ones, fewer than draws.
    """
    S, n = values.shape
    _, group, sizes = np.unique(pretraining, return_inverse=True, return_counts=True)
    P = len(sizes)
    shared = float((sizes**2).sum()) / S
    scale = shared * (P - 1) / (S - shared)  # 1 for equal sizes
    within, images = values - _group_means(values, group), values.mean(axis=0)
    of_group = _group_means(values, group)
    mean = float(values.mean())
    ms_a = float(((of_group.mean(axis=1) - mean) ** 2).sum()) / (P - 1) / S
    ms_b = float((within.mean(axis=1) ** 2).sum()) / (S - P) / S
    if n == 1:
        return [
            Component("pretraining", max(ms_a - ms_b, 0.0) * scale, P - 1, P),
            Component("draw", ms_b, S - P, S),
        ]
    ms_c = float(((images - mean) ** 2).sum()) / (n - 1) / n
    crossing = of_group - of_group.mean(axis=1, keepdims=True) - images + mean
    ms_ac = float((crossing**2).sum()) / ((P - 1) * (n - 1)) / (S * n)
    rest = float(((within - within.mean(axis=1, keepdims=True)) ** 2).sum()) / ((S - P) * (n - 1)) / (S * n)
    return [
        Component("pretraining", max(ms_a - ms_b - ms_ac + rest, 0.0) * scale, P - 1, P),
        Component("draw", max(ms_b - rest, 0.0), S - P, S),
        Component("image", max(ms_c - ms_ac, 0.0), n - 1, n),
        Component("pretraining x image", max(ms_ac - rest, 0.0), (P - 1) * (n - 1), P * n),
        Component("rest", rest, (S - P) * (n - 1), S * n),
    ]


def unit_components(values: NDArray[np.float64], source: Source = "draw") -> list[Component]:
    """Components of the mean over one kind of unit and over images, shape (units, n): units are draws by default."""
    S, n = values.shape
    units, images, mean = values.mean(axis=1), values.mean(axis=0), float(values.mean())
    ms_b = float(((units - mean) ** 2).sum()) / (S - 1) / S
    if n == 1:
        return [Component(source, ms_b, S - 1, S)]
    residual = values - units[:, None] - images + mean
    rest = float((residual**2).sum()) / ((S - 1) * (n - 1)) / (S * n)
    ms_c = float(((images - mean) ** 2).sum()) / (n - 1) / n
    return [
        Component(source, max(ms_b - rest, 0.0), S - 1, S),
        Component("image", max(ms_c - rest, 0.0), n - 1, n),
        Component("rest", rest, (S - 1) * (n - 1), S * n),
    ]


def widen_for_overlap(components: Sequence[Component], overlap: float) -> list[Component]:
    """The components where label draws share images, `overlap` the mean share that two of them have in common.

    The spread between S draws of correlation ρ shows σ²(1 - ρ), while their mean varies by σ²((1 - ρ) / S + ρ): the
    variance over draws grows by the factor 1 + S ρ / (1 - ρ) (Nadeau and Bengio, Machine Learning 52, 2003). Draws that
    are all the same images (overlap 1) tell nothing about other ones and stay as they are: the interval is then over
    training seeds.
    """
    if not 0 < overlap < 1:
        return list(components)
    odds = overlap / (1 - overlap)
    draws = next((one.count for one in components if one.source == "draw"), 1)
    return [
        replace(one, variance=one.variance * (1 + draws * odds))
        if one.source in ("draw", "pretraining x draw")
        else one
        for one in components
    ]


def freedom_of(components: Sequence[Component]) -> float:
    """Degrees of freedom for Student's t of a mean with this variance.

    Satterthwaite's (Biometrics Bulletin 2, 1946) are too many where a large component has few: a spread that happens
    to look small passes for certain. Howe's half width, √Σ t² v over the components v, each with the t of its own
    freedom, is too wide. In the simulations of benchmarks/comparison_statistics.py their geometric mean, two thirds of
    the weight on Howe's, covers what it should. The freedom returned gives this half width at the level of 95 %.
    """
    parts = [(one.variance, one.freedom) for one in components if one.variance > 0]
    total = sum(variance for variance, _ in parts)
    satterthwaite = total**2 / sum(variance**2 / freedom for variance, freedom in parts)
    howe = float(np.sqrt(sum(variance * _t(freedom) ** 2 for variance, freedom in parts) / total))
    wanted = np.log(_t(satterthwaite)) * (1 - CAUTION) + np.log(howe) * CAUTION
    return float(np.exp(np.interp(-wanted, -_LOG_T, _LOG_FREEDOM)))


def _t(freedom: float) -> float:
    return float(special.stdtrit(freedom, 0.5 + LEVEL / 2))


_LOG_FREEDOM = np.linspace(0.0, np.log(1e7), 4001)
_LOG_T = np.log(special.stdtrit(np.exp(_LOG_FREEDOM), 0.5 + LEVEL / 2))


def _effects(values: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Effects of the three factors and their interactions, by the factors' letters, on the shape of their margin."""
    mean = values.mean()
    a = values.mean(axis=(1, 2), keepdims=True) - mean
    b = values.mean(axis=(0, 2), keepdims=True) - mean
    c = values.mean(axis=(0, 1), keepdims=True) - mean
    ab = values.mean(axis=2, keepdims=True) - mean - a - b
    ac = values.mean(axis=1, keepdims=True) - mean - a - c
    bc = values.mean(axis=0, keepdims=True) - mean - b - c
    return {"a": a, "b": b, "c": c, "ab": ab, "ac": ac, "bc": bc, "abc": values - mean - a - b - c - ab - ac - bc}


def _group_means(values: NDArray[np.float64], group: NDArray[np.int64]) -> NDArray[np.float64]:
    """For every row the mean over the rows of its group, shape of `values`."""
    sums = np.zeros((int(group.max()) + 1, values.shape[1]))
    np.add.at(sums, group, values)
    return (sums / np.bincount(group)[:, None])[group]

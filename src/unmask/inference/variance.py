"""How much pretrainings, label draws and test images each contribute to the uncertainty of a mean.

Letters: P pretrainings, S label draws, n test images; y[p, s, i] the value of a trial (or of a pair of trials) on a
test image. All mean squares are on the scale of the grand mean's variance: the mean square of a margin with k units is
the variance of its k means, divided by k.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

Source = Literal["pretraining", "draw", "image", "pretraining x draw", "pretraining x image", "draw x image", "rest"]
"""What a component varies over. A label draw has its own training seed: "draw" is both together."""

MeanSquares = Mapping[str, float]
"""Mean squares by the factors of their margin: a (pretraining), b (label draw), c (test image)."""

LEVEL = 0.95
"""Level at which the degrees of freedom of a sum are calibrated."""

DRAWS_PER_PRETRAINING = 3
"""With fewer draws the diagonal design knows too little about their spread: the means of pretrainings are its units."""


@dataclass(frozen=True)
class Component:
    """One independent part of a mean's variance: `variance` = σ² / `count`, estimated with `freedom` degrees."""

    source: Source
    variance: float
    freedom: float
    count: int
    """Number of units of the source in the mean."""


def crossed_components(values: NDArray[np.float64]) -> list[Component]:
    """Components of the grand mean of (P, S, n) if every pretraining is used in every draw, on the same images, P and
    S at least 2; n = 1 without values per image.

    y[p, s, i] = mean + a_p + b_s + c_i + (ab)_ps + (ac)_pi + (bc)_si + rest, all random: the usual analysis of
    variance, with negative estimates set to zero.
    """
    P, S, n = values.shape
    free = {"a": P - 1, "b": S - 1, "c": n - 1}
    squares = {}
    for margin, effect in _effects(values).items():
        degrees = math.prod(free[factor] for factor in margin)
        if degrees > 0:
            squares[margin] = float((effect**2).sum()) / effect.size / degrees
    return crossed_parts(squares, P, S, n)


def crossed_parts(squares: MeanSquares, pretrainings: int, draws: int, images: int) -> list[Component]:
    """The components of a crossed table from its mean squares: a, b, c, ab, ac, bc, abc; without c if n = 1."""
    P, S, n = pretrainings, draws, images
    a, b, c = P - 1, S - 1, n - 1
    ab = squares["ab"]
    if n == 1:
        return [
            Component("pretraining", max(squares["a"] - ab, 0.0), a, P),
            Component("draw", max(squares["b"] - ab, 0.0), b, S),
            Component("pretraining x draw", ab, a * b, P * S),
        ]
    ac, bc, rest = squares["ac"], squares["bc"], squares["abc"]
    return [
        Component("pretraining", max(squares["a"] - ab - ac + rest, 0.0), a, P),
        Component("draw", max(squares["b"] - ab - bc + rest, 0.0), b, S),
        Component("image", max(squares["c"] - ac - bc + rest, 0.0), c, n),
        Component("pretraining x draw", max(ab - rest, 0.0), a * b, P * S),
        Component("pretraining x image", max(ac - rest, 0.0), a * c, P * n),
        Component("draw x image", max(bc - rest, 0.0), b * c, S * n),
        Component("rest", rest, a * b * c, P * S * n),
    ]


def nested_components(values: NDArray[np.float64], pretraining: NDArray[np.int64]) -> list[Component]:
    """Components of the mean over trials if each draw belongs to one pretraining (the diagonal design).

    y[s, i] = mean + a_p(s) + b_s + c_i + (ac)_p(s)i + rest. Pretrainings may differ in their number of draws; the
    pretraining's component is then estimated as for equal numbers (the usual n0).

    Args:
        values: shape (S, n); n = 1 for scores without known values per image.
        pretraining: the pretraining of every draw, shape (S,), at least 2 different ones, fewer than draws.
    """
    squares, unequal = _nested_squares(values, pretraining)
    draws, images = values.shape
    return nested_parts(squares, len(np.unique(pretraining)), draws, images, unequal)


def nested_parts(
    squares: MeanSquares, pretrainings: int, draws: int, images: int, unequal: float = 1.0
) -> list[Component]:
    """The components of a diagonal table from its mean squares: a, b, c, ac, abc; `unequal` is 1 for equal numbers."""
    P, S, n = pretrainings, draws, images
    a, b = squares["a"], squares["b"]
    if n == 1:
        return [Component("pretraining", max(a - b, 0.0) * unequal, P - 1, P), Component("draw", b, S - P, S)]
    c, ac, rest = squares["c"], squares["ac"], squares["abc"]
    return [
        Component("pretraining", max(a - b - ac + rest, 0.0) * unequal, P - 1, P),
        Component("draw", max(b - rest, 0.0), S - P, S),
        Component("image", max(c - ac, 0.0), n - 1, n),
        Component("pretraining x image", max(ac - rest, 0.0), (P - 1) * (n - 1), P * n),
        Component("rest", rest, (S - P) * (n - 1), S * n),
    ]


def group_components(values: NDArray[np.float64], pretraining: NDArray[np.int64]) -> list[Component]:
    """Like `nested_components`, with each pretraining's mean over its draws as the unit: draws are not separated."""
    return group_parts(_nested_squares(values, pretraining)[0], len(np.unique(pretraining)), values.shape[1])


def group_parts(squares: MeanSquares, pretrainings: int, images: int) -> list[Component]:
    """The components over pretrainings' means from the mean squares a, c, ac; a alone if there is one image."""
    return _with_images(squares, "a", "ac", ("pretraining", "pretraining x image"), pretrainings, images)


def diagonal_ways(nested: list[Component], grouped: list[Component], draws: float) -> list[list[Component]]:
    """The analyses to use in the diagonal design with `draws` draws per pretraining, the first for the variance.

    With three or more draws per pretraining, and with two pretrainings, both; else only the means of pretrainings,
    because the spread of draws is then known too roughly.
    """
    pretrainings = grouped[0].count
    return [nested, grouped] if pretrainings == 2 or draws >= DRAWS_PER_PRETRAINING else [grouped]


def unit_components(values: NDArray[np.float64], source: Source = "draw") -> list[Component]:
    """Components of the mean over one kind of unit and over images, shape (units, n): units are draws by default."""
    S, n = values.shape
    units, images, mean = values.mean(axis=1), values.mean(axis=0), float(values.mean())
    squares = {"b": float(((units - mean) ** 2).sum()) / (S - 1) / S}
    if n > 1:
        residual = values - units[:, None] - images + mean
        squares["c"] = float(((images - mean) ** 2).sum()) / (n - 1) / n
        squares["abc"] = float((residual**2).sum()) / ((S - 1) * (n - 1)) / (S * n)
    return unit_parts(squares, S, n, source)


def unit_parts(squares: MeanSquares, units: int, images: int, source: Source = "draw") -> list[Component]:
    """The components of a table of units and images from its mean squares: b, c, abc; b alone if n = 1."""
    return _with_images(squares, "b", "abc", (source, "rest"), units, images)


def _with_images(
    squares: MeanSquares, unit: str, rest: str, sources: tuple[Source, Source], units: int, n: int
) -> list[Component]:
    """The components of a table of units and n images, named after the mean squares `unit` and `rest`."""
    if n == 1:
        return [Component(sources[0], squares[unit], units - 1, units)]
    c, left = squares["c"], squares[rest]
    return [
        Component(sources[0], max(squares[unit] - left, 0.0), units - 1, units),
        Component("image", max(c - left, 0.0), n - 1, n),
        Component(sources[1], left, (units - 1) * (n - 1), units * n),
    ]


def widen_for_overlap(components: Sequence[Component], overlap: float, draws: int) -> list[Component]:
    """The components where label draws share images, `overlap` the mean share that two of them have in common.

    The spread between S draws of correlation ρ shows σ²(1 - ρ), while their mean varies by σ²((1 - ρ) / S + ρ): the
    variance over draws grows by the factor 1 + S ρ / (1 - ρ) (Nadeau and Bengio, Machine Learning 52, 2003). Each time
    that all images have been dealt out the draws add up to the same: the freedom shrinks to its share 1 - ρ. If draws
    are not separated from their pretraining, its component grows. Draws that are all the same images (overlap 1) say
    nothing about other ones and are left unchanged: the interval is then over training seeds.
    """
    if not 0 < overlap < 1:
        return list(components)
    factor, kept = 1 + draws * overlap / (1 - overlap), 1 - overlap
    told = any(one.source == "draw" for one in components)
    grows = ("draw", "pretraining x draw") if told else ("pretraining",)
    return [
        replace(one, variance=one.variance * factor, freedom=max(1.0, one.freedom * kept))
        if one.source in grows
        else one
        for one in components
    ]


def freedom_of(components: Sequence[Component], others: Sequence[Component] = ()) -> float:
    """Degrees of freedom for Student's t of a mean with this variance.

    Satterthwaite's (Biometrics Bulletin 2, 1946) are too many if a large component has few: a spread that happens to
    look small is treated as certain. Howe's half width √Σ t² v over the components v, each with the t of its own
    freedom, has the right coverage in benchmarks/comparison_statistics.py. The freedom returned gives this half width
    at the level of 95 %.

    Args:
        components: components that sum to the variance.
        others: the same variance with pretrainings' means as units; then the geometric mean of both half widths counts.
            With two pretrainings, whose spread has a single degree of freedom, the first is not to be the smaller one.
    """
    total = sum(one.variance for one in components)
    half = _half_width(components)
    if others:
        other = _half_width(others)
        half = math.sqrt(other * (max(half, other) if others[0].freedom < 2 else half))
    return float(np.exp(np.interp(-math.log(max(half / math.sqrt(total), 1.0)), -_LOG_T, _LOG_FREEDOM)))


def _half_width(components: Sequence[Component]) -> float:
    return math.sqrt(sum(one.variance * _t(one.freedom) ** 2 for one in components if one.variance > 0))


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


def _nested_squares(values: NDArray[np.float64], pretraining: NDArray[np.int64]) -> tuple[dict[str, float], float]:
    """Mean squares of a diagonal table, and the factor of the pretraining's component for unequal numbers of draws."""
    S, n = values.shape
    _, group, sizes = np.unique(pretraining, return_inverse=True, return_counts=True)
    P, shared = len(sizes), float((sizes**2).sum()) / S
    of_group, images, mean = _group_means(values, group), values.mean(axis=0), float(values.mean())
    within = values - of_group
    squares = {
        "a": float(((of_group.mean(axis=1) - mean) ** 2).sum()) / (P - 1) / S,
        "b": float((within.mean(axis=1) ** 2).sum()) / (S - P) / S,
    }
    if n > 1:
        crossing = of_group - of_group.mean(axis=1, keepdims=True) - images + mean
        alone = within - within.mean(axis=1, keepdims=True)
        squares["c"] = float(((images - mean) ** 2).sum()) / (n - 1) / n
        squares["ac"] = float((crossing**2).sum()) / ((P - 1) * (n - 1)) / (S * n)
        squares["abc"] = float((alone**2).sum()) / ((S - P) * (n - 1)) / (S * n)
    return squares, shared * (P - 1) / (S - shared)


def _group_means(values: NDArray[np.float64], group: NDArray[np.int64]) -> NDArray[np.float64]:
    """For every row the mean over the rows of its group, shape of `values`."""
    sums = np.zeros((int(group.max()) + 1, values.shape[1]))
    np.add.at(sums, group, values)
    return (sums / np.bincount(group)[:, None])[group]

"""Differences over pretrainings, label draws and test images: what varies, and what follows for their mean.

Letters: P pretrainings, S label draws, n test images. Every interval is about new units of all that varies: new
pretrainings if there are at least two, new label draws (with their training seeds) and, if values per image are
known, new test images.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from unmask.inference.estimate import Estimate, Units, estimate_mean
from unmask.inference.variance import (
    Component,
    crossed_components,
    diagonal_ways,
    freedom_of,
    group_components,
    nested_components,
    unit_components,
    widen_for_overlap,
)

Key = tuple[int | None, int]
"""(pretraining, label draw), both indices; the pretraining is None for an arm without pretraining."""

V = TypeVar("V", float, NDArray[np.float64])
PerImage = Mapping[Key, NDArray[np.float64]]
"""Values per test image (or group of them) of every trial, shape (n,); NaN where unreadable."""


def paired_differences(arm: Mapping[Key, V], baseline: Mapping[Key, V]) -> dict[Key, V]:
    """Differences arm - baseline over the trials both have: of one value of each, or of its values per test image.

    A trial is paired with the baseline's trial of the same pretraining and draw or, if one side has no pretraining,
    with its trial of the same draw.
    """
    return {key: arm[first] - baseline[second] for key, first, second in _pairs(arm, baseline)}


def estimate_over(
    values: Mapping[Key, float],
    images: PerImage | None = None,
    overlap: float = 0.0,
    *,
    grouped: bool = False,
    evaluated: str = "test images",
) -> Estimate:
    """The mean over pretrainings and draws, with the uncertainty of everything that varies.

    Args:
        values: value of every trial, or pair of trials. Every pretraining on every draw (crossed; draws that some
            pretraining lacks are left out), or each draw with its own pretraining (diagonal), or one or no pretraining.
        images: the same per test image; None if unknown: the interval then holds for these test images.
        overlap: the mean share of labeled images that two draws have in common.
        grouped: `images` are values per group of test images (`per_group`).
        evaluated: the test images in words (`describe_evaluated`).

    Raises:
        UserError: there is no value, or one is not finite.
    """
    if images is None and len(_pretrainings(values)) < 2 and overlap in (0, 1):
        simple = estimate_mean([values[key] for key in _ordered(values)])
        units = Units(len(_pretrainings(values)), len(values), 0, len(values), evaluated=evaluated)
        alone = () if simple.error is None else (Component("draw", simple.error**2, simple.freedom, simple.n),)
        method = f"{simple.method} {describe_units(units)}"
        return replace(simple, method=method, units=units, components=alone)
    estimate_mean(list(values.values()))  # rejects non-finite values
    keys = _complete(values)
    table = _per_image(keys, values, images)
    counts = len(_pretrainings(keys)), len({s for _, s in keys}), 0 if images is None else table.shape[1]
    parts = [widen_for_overlap(one, overlap, counts[1]) for one in _components(keys, table)]
    units = Units(*counts, len(keys), grouped, evaluated)
    return _estimate(float(np.mean([values[key] for key in keys])), parts, units)


def _components(keys: list[Key], table: NDArray[np.float64]) -> list[list[Component]]:
    """Parts of the variance of the mean over trials, shape (trials, n), by the design found from their keys.

    The first are the finest, for display; of several the last ones give the interval, see `diagonal_ways`.
    """
    pretrainings, draws = len(_pretrainings(keys)), len({s for _, s in keys})
    if pretrainings > 1 and draws > 1 and len(keys) == pretrainings * draws:
        return [crossed_components(table.reshape(pretrainings, draws, -1))]
    if draws == len(keys) > pretrainings > 1:
        owner = np.array([p for p, _ in keys])
        return [nested_components(table, owner), group_components(table, owner)]
    return [unit_components(table, "pretraining" if draws == 1 else "draw")] if len(keys) > 1 else [[]]


def _estimate(mean: float, parts: list[list[Component]], units: Units) -> Estimate:
    components = parts[0]
    ways = parts if len(parts) == 1 else diagonal_ways(parts[0], parts[1], units.draws / units.pretrainings)
    words, total = describe_units(units), sum(one.variance for one in ways[0])
    if not components:
        return Estimate(mean, units.pairs, f"single {words}", None, 0.0, units=units)
    if total <= 1e-24 * max(1.0, mean**2):
        return Estimate(mean, units.pairs, f"no spread {words}", None, 0.0, units=units)
    error, freedom = math.sqrt(total), freedom_of(*ways)
    return Estimate(mean, units.pairs, f"paired t {words}", error, freedom, units=units, components=tuple(components))


def describe_units(units: Units) -> str:
    """What an interval is over, and what it holds for: "over label draws and test images, for this encoder"."""
    varied = ["pretrainings"] * (units.pretrainings > 1) + ["label draws"] * (units.draws > 1 or units.pretrainings < 2)
    varied += [units.sampled] * (units.images > 1)
    fixed = ["this encoder"] * (units.pretrainings == 1)
    fixed += ["this label draw"] * (units.draws == 1 and units.pretrainings > 1)
    fixed += [f"these {units.evaluated}"] * (units.images < 2)
    over = " and ".join([", ".join(varied[:-1]), varied[-1]] if len(varied) > 1 else varied)
    return f"over {over}" + (f", for {' and '.join(fixed)}" if fixed else "")


def _pairs(arm: Mapping[Key, object], baseline: Mapping[Key, object]) -> list[tuple[Key, Key, Key]]:
    """(key of the pair, key of the arm's trial, key of the baseline's trial)."""
    pairs: list[tuple[Key, Key, Key]] = []
    for key in arm:
        pretraining, draw = key
        if key in baseline:
            pairs.append((key, key, key))
        elif (None, draw) in baseline:
            pairs.append((key, key, (None, draw)))
        elif pretraining is None:
            pairs += [(other, key, other) for other in baseline if other[1] == draw]
    return pairs


def _complete(values: Mapping[Key, float]) -> list[Key]:
    """The keys in order; of a table with more than one pretraining per draw only draws that all pretrainings have."""
    keys, pretrainings = _ordered(values), _pretrainings(values)
    draws = {s for _, s in keys}
    if len(keys) == len(draws):
        return keys
    whole = {s for s in draws if all((p, s) in values for p in pretrainings)}
    return [key for key in keys if key[1] in whole] or keys


def _ordered(values: Mapping[Key, object]) -> list[Key]:
    return sorted(values, key=lambda key: (-1 if key[0] is None else key[0], key[1]))


def _pretrainings(keys: Mapping[Key, object] | list[Key]) -> list[int]:
    return sorted({p for p, _ in keys if p is not None})


def _per_image(keys: list[Key], values: Mapping[Key, float], images: PerImage | None) -> NDArray[np.float64]:
    """Values of the trials per image that all of them could read, shape (trials, n); without images n = 1."""
    if images is None:
        return np.array([[values[key]] for key in keys])
    table = np.stack([images[key] for key in keys])
    return table[:, ~np.isnan(table).any(axis=0)]

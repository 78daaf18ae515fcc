"""One word for a paired comparison: gain, loss, equivalent or undecided; and one sentence that says why."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unmask.inference.estimate import Estimate, detectable_mean, interval_of, p_equivalent, p_zero, within
from unmask.runs.records import Word
from unmask.wording import plural


@dataclass(frozen=True)
class Decision:
    """The outcome of one comparison. `p` and `p_equivalent` are adjusted where the comparison is not primary."""

    word: Word
    p: float
    p_equivalent: float
    detectable: float | None


def decide(estimates: Sequence[Estimate], primary: int | None, smallest: float, confidence: float) -> list[Decision]:
    """Decisions on the budgets of one split.

    The primary comparison is tested at the full level; the others are one family, adjusted by Holm's method. A mean
    that differs from zero is a gain or a loss; else one that is clearly within ± `smallest` (two one-sided tests) is
    equivalent; else nothing is decided, and `detectable` is the true difference that would have been found with power
    0.8 (at the level of Holm's first step for the others).
    """
    others = [i for i in range(len(estimates)) if i != primary]
    zero = [p_zero(e) for e in estimates]
    same = [p_equivalent(e, smallest) for e in estimates]
    for values in (zero, same):
        for i, adjusted in zip(others, holm([values[i] for i in others]), strict=True):
            values[i] = adjusted
    alpha = 1 - confidence
    return [
        Decision(
            _word(estimate, zero[i], same[i], alpha),
            zero[i],
            same[i],
            detectable_mean(estimate, 1 - alpha / (1 if i == primary else len(others))),
        )
        for i, estimate in enumerate(estimates)
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (1979): reject where the adjusted value is below the level of the whole family.

    With p sorted upwards, adjusted p_(i) = max over j ≤ i of min(1, (m - j + 1) p_(j)), j counted from 1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    steps = np.minimum(1.0, np.arange(p.size, 0, -1) * p[order])
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(steps)
    return [float(value) for value in adjusted]


@dataclass(frozen=True)
class Place:
    """What was compared: labels per class, split, and the arm that is the baseline."""

    budget: int
    split: str
    baseline: str


def sentence(estimate: Estimate, verdict: Decision, place: Place, *, smallest: float, confidence: float) -> str:
    """The verdict for a reader who knows none of the symbols; differences in percentage points of accuracy."""
    where = f"With {plural(place.budget, 'label')} per class, on {describe_split(place.split)},"
    change = f"{100 * estimate.mean:+.1f} points against the best scratch arm, {place.baseline}"
    interval = within(interval_of(estimate, confidence), -1.0, 1.0)
    if interval.low is None or interval.high is None:
        reason = "one pair has no interval" if estimate.n == 1 else "all pairs differ alike, so their spread is unknown"
        return f"{where} nothing is decided: {change}, but {reason}."
    bounds = f"{confidence:.0%} interval {100 * interval.low:+.1f} to {100 * interval.high:+.1f}, n = {estimate.n}"
    if verdict.word in ("gain", "loss"):
        word = "helps" if verdict.word == "gain" else "hurts"
        small = f", yet less than the {_points(smallest)} that would matter"
        return (
            f"{where} pretraining {word}: {change} ({bounds}){small if verdict.p_equivalent < 1 - confidence else ''}."
        )
    if verdict.word == "equivalent":
        band = f"within ±{_points(smallest)}"
        return f"{where} pretraining makes no difference that matters: {change} ({bounds}), {band}."
    if verdict.detectable is not None and verdict.detectable > 1:
        missed = "; with so few pairs that differ so much even the largest difference is often missed"
    else:
        missed = f"; a true difference of {_points(verdict.detectable or 0.0)} would have been found four times in five"
    return f"{where} nothing is decided: {change} ({bounds}){missed}."


def describe_split(split: str) -> str:
    """A split in words."""
    if split.startswith("single_"):
        return f"images of part {split.removeprefix('single_')} alone"
    return {"multi": "images that show all parts", "test": "test images", "val": "validation images"}.get(split, split)


def _points(share: float) -> str:
    return plural(f"{100 * share:.1f}".removesuffix(".0"), "point")


def _word(estimate: Estimate, p: float, p_equivalent: float, alpha: float) -> Word:
    if p < alpha:
        return "gain" if estimate.mean > 0 else "loss"
    return "equivalent" if p_equivalent < alpha else "undecided"

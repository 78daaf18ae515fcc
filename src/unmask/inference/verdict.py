"""One word for a paired comparison: gain, loss, equivalent or undecided; and one sentence that says why."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from unmask.config.budget import Budget, labels_in_words
from unmask.config.comparison import EvaluateOn
from unmask.config.metric import METRIC_NAMES, SCORES, Metric
from unmask.inference.estimate import (
    Estimate,
    Units,
    detectable_mean,
    interval_of,
    p_at_least,
    p_at_most,
    within,
)
from unmask.runs.records import Interval, Word
from unmask.wording import in_percent, plural

HELD_OUT = "held-out validation"
"""The half of the validation images on which a comparison is judged in place of the test; the other half chooses."""

_SPLITS = {
    "multi": "images that show all parts",
    "test": "test images",
    "val": "validation images",
    HELD_OUT: f"{HELD_OUT} images",
}


@dataclass(frozen=True)
class Contest:
    """One arm against the best of several others, where validation knows the best only roughly.

    The question is the arm minus the best of the others. A gain must hold against every arm that could be the best
    (intersection-union, at no price in level); a loss against the arm chosen on validation is a loss against the best.
    """

    estimate: Estimate
    """Arm minus the other that validation chose."""
    rivals: tuple[Estimate, ...] = ()
    """Arm minus each of the others that validation cannot tell from the chosen one."""

    def p_at_most(self, threshold: float) -> float:
        """P-value of "the arm exceeds the best of the others by at most `threshold`"."""
        return max(p_at_most(one, threshold) for one in (self.estimate, *self.rivals))

    @property
    def p_zero(self) -> float:
        """Two-sided p-value of "no difference from the best of the others"."""
        return min(1.0, 2.0 * min(self.p_at_most(0.0), p_at_least(self.estimate, 0.0)))

    @property
    def is_gain(self) -> bool:
        """Whether the evidence against "no difference" is for a gain."""
        return self.p_at_most(0.0) <= p_at_least(self.estimate, 0.0)

    def p_equivalent(self, smallest: float) -> float:
        """P-value of two one-sided tests (Schuirmann 1987): small if the difference is within ± `smallest`."""
        return max(self.p_at_most(-smallest), p_at_least(self.estimate, smallest))

    @property
    def scope(self) -> str:
        """ "for this encoder" if there is one pretraining, else empty."""
        units = self.estimate.units
        return "for this encoder" if units is not None and units.pretrainings == 1 else ""

    def interval(self, confidence: float, metric: str) -> Interval:
        """The lowest end of all, and the upper end of the chosen one; for a difference of shares within -1 and 1.

        It agrees with the verdict: its low end is above zero if a gain holds against every rival.
        """
        chosen = interval_of(self.estimate, confidence)
        ends = [interval_of(one, confidence).low for one in (self.estimate, *self.rivals)]
        if chosen.high is None or any(end is None for end in ends):
            return replace(chosen, low=None, high=None)
        span = SCORES[metric].span
        return within(replace(chosen, low=min(end for end in ends if end is not None)), -span, span)

    def detectable(self, confidence: float) -> float | None:
        """The true difference that would be found four times in five; None if some difference has no spread."""
        found = [detectable_mean(one, confidence) for one in (self.estimate, *self.rivals)]
        return None if any(one is None for one in found) else max(one for one in found if one is not None)


@dataclass(frozen=True)
class Decision:
    """The outcome of one comparison. `p` and `p_equivalent` are adjusted unless the comparison is primary."""

    word: Word
    p: float
    p_equivalent: float
    detectable: float | None


def decide(contests: Sequence[Contest], primary: int | None, smallest: float, confidence: float) -> list[Decision]:
    """Decisions on the budgets of one split.

    The primary comparison is tested at the full level; the others are one family, adjusted by Holm's method. A mean
    that differs from zero is a gain or a loss; else one that is clearly within ± `smallest` (two one-sided tests) is
    equivalent; else nothing is decided, and `detectable` is the true difference that would have been found with power
    0.8 (at the level of Holm's first step for the others).
    """
    others = [i for i in range(len(contests)) if i != primary]
    zero = [one.p_zero for one in contests]
    same = [one.p_equivalent(smallest) for one in contests]
    for values in (zero, same):
        for i, adjusted in zip(others, holm([values[i] for i in others]), strict=True):
            values[i] = adjusted
    alpha = 1 - confidence
    return [
        Decision(
            word_of(contest, zero[i], same[i], alpha),
            zero[i],
            same[i],
            contest.detectable(1 - alpha / (1 if i == primary else len(others))),
        )
        for i, contest in enumerate(contests)
    ]


def word_of(contest: Contest, p: float, p_equivalent: float, alpha: float) -> Word:
    """The word for a contest with these p-values, which may be adjusted."""
    if p < alpha:
        return "gain" if contest.is_gain else "loss"
    return "equivalent" if p_equivalent < alpha else "undecided"


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
    """What was compared: budget, split, the arm that is the baseline, and by which score."""

    budget: Budget
    split: str
    baseline: str
    metric: Metric = "accuracy"
    evaluate_on: EvaluateOn = "test"
    """That of the comparison."""

    @property
    def images(self) -> str:
        """The images of the split, in words."""
        return describe_split(shown_split(self.split, self.evaluate_on))


def sentence(contest: Contest, verdict: Decision, place: Place, *, smallest: float, confidence: float) -> str:
    """The verdict in words, without symbols; differences in points or the metric's unit."""
    where = f"With {labels_in_words(place.budget)}, on {place.images},"
    estimate, metric = contest.estimate, place.metric
    interval = contest.interval(confidence, metric)
    units = estimate.units
    where = f"{where} {contest.scope}," if contest.scope else where
    change = f"{change_of(estimate.mean, metric)} against the best scratch arm, {place.baseline}"
    if interval.low is None or interval.high is None:
        reason = (
            "one pair has no interval" if estimate.n == 1 else "all differences are equal, so their spread is unknown"
        )
        return f"{where} nothing is decided: {change}, but {reason}."
    over = f"n = {estimate.n}" if units is None else f"over {count_units(units)}"
    bounds = f"{in_percent(confidence)} interval {bounds_of(interval, metric)}, {over}"
    if verdict.word in ("gain", "loss"):
        word = "helps" if verdict.word == "gain" else "hurts"
        small = f", yet less than the {amount(smallest, metric)} that would matter"
        return (
            f"{where} pretraining {word}: {change} ({bounds}){small if verdict.p_equivalent < 1 - confidence else ''}."
        )
    if verdict.word == "equivalent":
        band = f"within ±{amount(smallest, metric)}"
        return f"{where} pretraining makes no difference that matters: {change} ({bounds}), {band}."
    if verdict.detectable is not None and verdict.detectable > SCORES[metric].span:
        missed = "; with so few and so variable pairs, even the largest difference would often be missed"
    else:
        found = amount(verdict.detectable or 0.0, metric)
        missed = f"; a true difference of {found} would have been found four times in five"
    return f"{where} nothing is decided: {change} ({bounds}){missed}."


def count_units(units: Units) -> str:
    """What an interval is over, counted: "3 pretrainings, 15 label draws and 1000 test images"."""
    counts = [plural(units.pretrainings, "pretraining")] * (units.pretrainings > 1)
    counts += [plural(units.draws, "label draw")]
    counts += [plural(units.images, units.sampled.removesuffix("s"))] * (units.images > 1)
    return " and ".join([", ".join(counts[:-1]), counts[-1]]) if len(counts) > 1 else counts[0]


def describe_split(split: str) -> str:
    """A split in words."""
    if split.startswith("single_"):
        return f"images of part {split.removeprefix('single_')} alone"
    return _SPLITS.get(split, split)


def shown_split(split: str, evaluate_on: EvaluateOn) -> str:
    """The split under the name that readers see: "test" of a comparison with `evaluate_on` = val has no test images."""
    return HELD_OUT if (split, evaluate_on) == ("test", "val") else split


def count_evaluated(count: int, split: str, evaluate_on: EvaluateOn) -> str:
    """A number of images of a split in words: 1 test image, 30 held-out validation images."""
    words = describe_split(shown_split(split, evaluate_on))
    return f"{count} {words.replace('images', 'image', 1) if count == 1 else words}"


def describe_evaluated(evaluate_on: EvaluateOn) -> str:
    """All images on which a comparison is judged, in words."""
    return describe_split(shown_split("test", evaluate_on))


def change_of(better: float, metric: Metric) -> str:
    """How much better, as a change of the metric in its unit and direction: "+2.2 points", "-0.31 in MAE"."""
    score = SCORES[metric]
    if score.share:
        return f"{100 * better:+.1f} points{of_metric(metric)}"
    return f"{score.number(score.change(better), signed=True)} in {titled(metric)}"


def amount(size: float, metric: Metric) -> str:
    """The size of a difference in words; shares in points, without the metric."""
    return points(size) if SCORES[metric].share else f"{size:.3g} in {SCORES[metric].title}"


def bounds_of(better: Interval, metric: Metric) -> str:
    """The ends of "how much better" as those of the change, the lower one first: "+0.2 to +4.1"."""
    assert better.low is not None
    assert better.high is not None
    ends = sorted(SCORES[metric].change(end) for end in (better.low, better.high))
    return " to ".join(SCORES[metric].number(end, signed=True) for end in ends)


def direction_of(metric: str) -> str:
    """The hint for a metric that is lower for better networks."""
    return " (lower is better)" if SCORES[metric].lower_is_better else ""


def titled(metric: str) -> str:
    """A metric's name, with its direction if lower is better."""
    return f"{SCORES[metric].title}{direction_of(metric)}"


def points(share: float, metric: Metric = "accuracy") -> str:
    """A share in percentage points, in words, with the metric's name unless it is accuracy."""
    return plural(f"{100 * share:.1f}".removesuffix(".0"), "point") + of_metric(metric)


def of_metric(metric: Metric) -> str:
    """The metric that points refer to, if it is not accuracy."""
    return "" if metric == "accuracy" else f" of {METRIC_NAMES[metric]}"

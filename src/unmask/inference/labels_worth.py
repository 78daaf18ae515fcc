"""How many times the labels training from scratch needs for the score that pretraining reaches."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from unmask.config.budget import Budget, labels_in_words
from unmask.config.metric import METRIC_NAMES, SCORES
from unmask.inference.estimate import Estimate, interval_of
from unmask.inference.verdict import Place, describe_split
from unmask.runs.summary_records import LabelsWorth


def labels_worth(
    differences: Mapping[Budget, Estimate], labeled: Mapping[Budget, float], place: Place, *, confidence: float
) -> LabelsWorth | None:
    """How many times the labels pretraining is worth at a budget; None without a second number of labels.

    With N times the labels scratch is as good as pretraining with one: by how much pretraining at `budget` is better
    than scratch at N × `budget` is zero there. It falls with the labels of scratch; its estimates are made monotone and
    interpolated linearly in log labels. The ends are where the ends of its interval are zero: the values of N that a
    test of "equally good" does not reject, so they hold for all that the differences vary over.

    Args:
        differences: by the budget of scratch: by how much pretraining at the place's budget is better than scratch at
            that one, paired over draws, in the metric's unit.
        labeled: labeled images of each budget.
        place: budget of the pretrained arm, one of the keys; split of the test images; metric.
        confidence: of the interval.
    """
    budgets = sorted(differences, key=labeled.__getitem__)
    ratios = [labeled[size] / labeled[place.budget] for size in budgets]
    if ratios[0] == ratios[-1]:
        return None
    intervals = [interval_of(differences[size], confidence) for size in budgets]
    times = _crossing(ratios, [one.mean for one in intervals])
    span = SCORES[place.metric].span  # as far as a difference goes whose interval is not known
    low = _crossing(ratios, [-span if one.low is None else one.low for one in intervals])
    high = _crossing(ratios, [span if one.high is None else one.high for one in intervals])
    text = _sentence(place, times, (low, high), (ratios[0], ratios[-1]), confidence)
    ends = [value if 0 < value < math.inf else None for value in (times, low, high)]
    return LabelsWorth(budget=place.budget, split=place.split, times=ends[0], low=ends[1], high=ends[2], sentence=text)


def _crossing(ratios: Sequence[float], values: Sequence[float]) -> float:
    """Where falling values cross zero, in log ratios; 0 where they are below it from the start, inf where never."""
    falling = np.minimum.accumulate(np.asarray(values))
    if falling[0] < 0:
        return 0.0
    if falling[-1] > 0:
        return math.inf
    after = int(np.argmax(falling <= 0))
    if after == 0:
        return float(ratios[0])
    above, below = float(falling[after - 1]), float(falling[after])
    share = 1.0 if math.isinf(above) else above / (above - below)
    return float(np.exp(np.interp(share, [0, 1], np.log([ratios[after - 1], ratios[after]]))))


def _sentence(
    place: Place, times: float, ends: tuple[float, float], measured: tuple[float, float], confidence: float
) -> str:
    def words(value: float) -> str:
        if 0 < value < math.inf:
            return f"{value:.1f}"
        return f"less than {measured[0]:.2g}" if value == 0 else f"more than {measured[1]:.2g}"

    low, high = ends
    score = "" if place.metric == "accuracy" else f"by {METRIC_NAMES[place.metric]}, "
    start = f"With {labels_in_words(place.budget)}, on {describe_split(place.split)}, {score}"
    if low == 0 and high == math.inf:
        return (
            f"{start}it is not known how many times the labels pretraining is worth: the {confidence:.0%} interval "
            f"goes beyond all that was measured, {measured[0]:.2g} to {measured[1]:.2g} times."
        )
    interval = f"{confidence:.0%} interval {words(low)} to {words(high)}"
    about = "about " if 0 < times < math.inf else ""
    return f"{start}pretraining is worth {about}{words(times)} times the labels ({interval})."

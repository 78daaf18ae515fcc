"""How many times as many labels training from scratch needs to reach the score of pretraining."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from unmask.config.budget import Budget, labels_in_words
from unmask.config.metric import METRIC_NAMES, SCORES
from unmask.inference.estimate import Estimate, interval_of
from unmask.inference.verdict import Place
from unmask.runs.summary_records import LabelsWorth
from unmask.wording import in_percent


def labels_worth(
    differences: Mapping[Budget, Estimate], labeled: Mapping[Budget, float], place: Place, *, confidence: float
) -> LabelsWorth | None:
    """How many times the labels pretraining is worth at a budget; None without a second number of labels.

    At N the difference of pretraining at `budget` and scratch at N × `budget` is zero. The difference falls with the
    labels of scratch; its estimates are made monotone and interpolated linearly in log labels. The interval's ends are
    where the ends of the difference's interval are zero: it holds the N that a test of "equally good" does not reject,
    so it covers everything that the differences vary over.

    Args:
        differences: by the budget of scratch: how much better pretraining at the place's budget is than scratch at
            that one, paired over draws, in the metric's unit.
        labeled: labeled images per budget.
        place: budget of the pretrained arm, one of the keys; split of the test images; metric.
        confidence: level of the interval.
    """
    budgets = sorted(differences, key=labeled.__getitem__)
    ratios = [labeled[size] / labeled[place.budget] for size in budgets]
    if ratios[0] == ratios[-1]:
        return None
    intervals = [interval_of(differences[size], confidence) for size in budgets]
    times = _crossing(ratios, [one.mean for one in intervals])
    span = SCORES[place.metric].span  # the range of a difference whose interval is unknown
    low = _crossing(ratios, [-span if one.low is None else one.low for one in intervals])
    high = _crossing(ratios, [span if one.high is None else one.high for one in intervals])
    text = _sentence(place, times, (low, high), (ratios[0], ratios[-1]), confidence)
    ends = [value if 0 < value < math.inf else None for value in (times, low, high)]
    return LabelsWorth(budget=place.budget, split=place.split, times=ends[0], low=ends[1], high=ends[2], sentence=text)


def _crossing(ratios: Sequence[float], values: Sequence[float]) -> float:
    """Where falling values cross zero, in log ratios; 0 if they start below it, inf if they never do."""
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
        """A number of times, or the end of the measured range that it is beyond."""
        if 0 < value < math.inf:
            return f"{value:.1f}"
        return f"less than {measured[0]:.2g}" if value == 0 else f"more than {measured[1]:.2g}"

    low, high = ends
    score = "" if place.metric == "accuracy" else f"by {METRIC_NAMES[place.metric]}, "
    start = f"With {labels_in_words(place.budget)}, on {place.images}, {score}"
    if low == 0 and high == math.inf:
        return (
            f"{start}it is unknown how many times the labels pretraining is worth: the {in_percent(confidence)} "
            f"interval exceeds the measured range, {measured[0]:.2g} to {measured[1]:.2g} times."
        )
    if low == high and not 0 < low < math.inf:
        bound, side = (measured[0], "fewer") if low == 0 else (measured[1], "more")
        labels = f"{side} labels than it has" if bound == 1 else f"{words(low)} times the labels"
        whole = f"the whole {in_percent(confidence)} interval; scratch with {side} was not tried"
        return f"{start}pretraining is worth {labels} ({whole})."
    interval = f"{in_percent(confidence)} interval {words(low)} to {words(high)}"
    about = "about " if 0 < times < math.inf else ""
    return f"{start}pretraining is worth {about}{words(times)} times the labels ({interval})."

"""The gain from more draws, pretrainings or test images: power before looking, and advice afterwards."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import special, stats

from unmask.inference.estimate import Estimate
from unmask.inference.variance import Component, Source, freedom_of
from unmask.inference.verdict import Contest
from unmask.runs.summary_records import VarianceRow
from unmask.wording import plural

MOST = 1000
"""More draws than anybody would use."""

_VARIES: dict[str, tuple[Source, ...]] = {
    "label draws": ("draw", "pretraining x draw", "draw x image", "rest"),
    "pretrainings": ("pretraining", "pretraining x draw", "pretraining x image"),
    "test images": ("image", "pretraining x image", "draw x image", "rest"),
}
"""The components that shrink with more units of a kind."""

_WORDS: dict[Source, str] = {
    "pretraining": "pretraining",
    "draw": "label draw and training seed",
    "image": "test image",
    "pretraining x draw": "pretraining on a label draw",
    "pretraining x image": "pretraining on a test image",
    "draw x image": "label draw on a test image",
    "rest": "single training on a test image",
}


def with_more(components: Sequence[Component], kind: str, factor: float) -> list[Component]:
    """The components of a comparison with `factor` times as many label draws, pretrainings or test images."""
    return [
        replace(one, variance=one.variance / factor, count=round(one.count * factor), freedom=_grown(one, kind, factor))
        if one.source in _VARIES[kind]
        else one
        for one in components
    ]


def _grown(one: Component, kind: str, factor: float) -> float:
    """Freedom with more units: for a main effect k - 1 becomes factor k - 1, others grow with their units."""
    main = {"label draws": "draw", "pretrainings": "pretraining", "test images": "image"}[kind]
    return max(1.0, one.freedom + (factor - 1) * one.count if one.source == main else one.freedom * factor)


def power_of(effect: float, components: Sequence[Component], confidence: float) -> float:
    """Probability that a two-sided t-test with this uncertainty finds a true difference of `effect`."""
    error = float(np.sqrt(sum(one.variance for one in components)))
    freedom = freedom_of(components)
    t = float(special.stdtrit(freedom, 0.5 + confidence / 2))
    return float(stats.nct.sf(t, freedom, abs(effect) / error))


def draws_needed(found: Estimate, effect: float, confidence: float = 0.95, power: float = 0.8) -> int | None:
    """Label draws with which a true difference of `effect` would be found with this power; None beyond `MOST`.

    With the components of a tuning table it plans a comparison before any of its results.

    Args:
        found: the uncertainty of a comparison, or of tuning draws; at least two draws.
        effect: a difference of scores, not 0.
        confidence: level of the intervals.
        power: probability of finding it.
    """
    if not found.components or found.units is None:
        return None
    draws = found.units.draws

    def reached(count: int) -> bool:
        more = with_more(found.components, "label draws", count / draws)
        return power_of(effect, more, confidence) >= power

    if not reached(MOST):
        return None
    low, high = 1, MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def draws_to_decide(contest: Contest, level: float, smallest: float, power: float = 0.8) -> int | None:
    """Label draws after which the current differences would be decided with this power.

    Decided means a gain against every rival, a loss, or a difference smaller than `smallest`, whichever needs fewest
    draws. None if no number of draws suffices: then test images or pretrainings limit the comparison.
    """
    rivals = (contest.estimate, *contest.rivals)
    means = [one.mean for one in rivals]
    confidence = 1 - level
    gain = [draws_needed(one, one.mean, confidence, power) for one in rivals if one.mean > 0]
    ways: list[int | None] = []
    if len(gain) == len(rivals):
        ways.append(None if None in gain else max(count for count in gain if count is not None))
    elif means[0] < 0:
        ways.append(draws_needed(contest.estimate, means[0], confidence, power))
    room = smallest - max(abs(min(means)), abs(means[0]))
    if room > 0:
        ways.append(draws_needed(contest.estimate, room, 1 - 2 * level, power))
    decided = [count for count in ways if count is not None]
    return min(decided) if decided else None


def variance_rows(found: Estimate, seed: float | None = None) -> tuple[VarianceRow, ...]:
    """How much each source contributes to the uncertainty, the largest first.

    Args:
        found: the uncertainty of a mean difference.
        seed: the variance of a single training due to its training seed, if trainings were repeated on the same labeled
            images; it is then separated from that of the labeled images.
    """
    total = sum(one.variance for one in found.components)
    parts = [(_worded(_WORDS[one.source], found), one.variance, one.count) for one in found.components]
    if seed is not None:
        split = []
        for words, variance, count in parts:
            if words == _WORDS["draw"]:
                of_seed = min(variance, seed / count)
                split += [("training seed", of_seed, count), ("label draw", variance - of_seed, count)]
            else:
                split.append((words, variance, count))
        parts = split
    rows = [
        VarianceRow(source=words, sd=float(np.sqrt(variance * count)), count=count, share=variance / total)
        for words, variance, count in parts
    ]
    return tuple(sorted(rows, key=lambda row: -row.share))


def advice(found: Estimate, confidence: float = 0.95) -> str:
    """One sentence: what to add for a narrower interval, by the width that twice as many units would leave."""
    if not found.components or found.units is None:
        return "The spread between label draws is unknown: add label draws."
    width = _half_width(found.components, confidence)
    kinds = {"label draws": found.units.draws, "test images": found.units.images}
    kinds["pretrainings"] = found.units.pretrainings if found.units.pretrainings > 1 else 0
    left = {
        kind: _half_width(with_more(found.components, kind, 2), confidence) / width
        for kind, count in kinds.items()
        if count > 1
    }
    best = min(left, key=lambda kind: left[kind])
    others = ", ".join(f"{share:.0%} with twice the {kind}" for kind, share in left.items() if kind != best)
    rest = f" ({others})" if others else ""
    return _worded(
        f"Add {best}: with {plural(2 * kinds[best], best.removesuffix('s'))} instead of {kinds[best]} the interval "
        f"would have {left[best]:.0%} of its width{rest}.",
        found,
    )


def _worded(words: str, found: Estimate) -> str:
    """Words about test images, of groups if the test set is a sample of groups."""
    sampled = "test images" if found.units is None else found.units.sampled
    return words.replace("test image", sampled.removesuffix("s"))


def _half_width(components: Sequence[Component], confidence: float) -> float:
    error = sum(one.variance for one in components) ** 0.5
    return float(special.stdtrit(freedom_of(components), 0.5 + confidence / 2)) * error

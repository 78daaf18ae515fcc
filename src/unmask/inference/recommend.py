"""The recommendation to a user: chosen on tuning draws and validation, judged on test images."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from unmask.config import ARMS
from unmask.config.budget import labels_in_words
from unmask.config.metric import SCORES, Metric
from unmask.inference.baseline import Ranking
from unmask.inference.estimate import Estimate
from unmask.inference.planning import draws_to_decide
from unmask.inference.rows import in_its_direction
from unmask.inference.verdict import Contest, Place, amount, change_of, direction_of, points, word_of
from unmask.runs.summary_records import Recommendation
from unmask.wording import in_percent


def compared_with(ranking: Ranking) -> tuple[str, ...]:
    """The arms whose difference from the recommended one is judged: the best other one first, then other rivals."""
    others = [*ranking.rivals, *ranking.beaten]
    return tuple(dict.fromkeys([*others[:1], *ranking.rivals]))


def other_ways(ranking: Ranking) -> Ranking:
    """The ranking without arms that differ from the best one only in schedule."""
    return _among(ranking, lambda arm: ARMS[arm].way != ARMS[ranking.best].way)


def other_starts(ranking: Ranking) -> Ranking:
    """The ranking without arms that start from the same weights as the best one.

    Fine-tuned or under a linear classifier, two arms of one start are often equally good, and no number of draws tells
    them apart; which weights to start from is what a comparison has to decide. If all start from the same weights, they
    are different ways.
    """
    found = _among(ranking, lambda arm: ARMS[arm].start != ARMS[ranking.best].start)
    return found if found.rivals or found.beaten else other_ways(ranking)


def same_start(ranking: Ranking) -> Ranking:
    """The ranking of the best arm and its rivals that use the same weights in another way.

    Empty if no arm has another start: then `other_starts` has them.
    """
    starts = {ARMS[arm].start for arm in (ranking.best, *ranking.rivals, *ranking.beaten)}
    others = other_ways(ranking).rivals if len(starts) > 1 else ()
    return Ranking(ranking.best, tuple(arm for arm in others if ARMS[arm].start == ARMS[ranking.best].start), ())


def _among(ranking: Ranking, kept: Callable[[str], bool]) -> Ranking:
    """The ranking of the best arm and the others that are kept."""
    return Ranking(ranking.best, *(tuple(filter(kept, arms)) for arms in (ranking.rivals, ranking.beaten)))


def recommend(
    ranking: Ranking,
    differences: Mapping[str, Estimate],
    place: Place,
    *,
    smallest: float,
    confidence: float,
) -> Recommendation:
    """The arm that validation ranks first, against the best of the others.

    The choice has no error on test images: it was made on tuning draws. "Better than every other" is tested against
    each arm that validation cannot tell from the best, each at the full level (intersection-union), so luck in being
    the best of many does not count; "worse" only against the best other arm. Arms ruled out by validation are not
    tested again.

    Args:
        ranking: ranking of the alternatives, at least two.
        differences: recommended minus other, on test images, for the arms of `compared_with`.
        place: budget, split and metric.
        smallest: the smallest difference that matters.
        confidence: level of the interval.
    """
    against, *others = compared_with(ranking)
    contest = Contest(differences[against], tuple(differences[arm] for arm in others))
    p, same = contest.p_zero, contest.p_equivalent(smallest)
    word = word_of(contest, p, same, 1 - confidence)
    found = Recommendation(
        budget=place.budget,
        split=place.split,
        arm=ranking.best,
        against=against,
        verdict=word,
        p=p,
        draws_needed=draws_to_decide(contest, 1 - confidence, smallest) if word == "undecided" else None,
        sentence="",
        **vars(in_its_direction(contest.interval(confidence, place.metric), place.metric)),
    )
    return replace(found, sentence=_sentence(found, place, contest.scope, smallest, confidence))


def with_way(starts: Recommendation, way: Recommendation, place: Place, confidence: float) -> Recommendation:
    """The recommendation of weights to start from, with the outcome of a second question: the way to use them.

    It is asked only where the weights are better than all others. The two are a fixed sequence of tests, so that both
    together err as often as one. The recommendation is about the weights, unless another way to use them is better.

    Args:
        starts: the recommended arm against those of `other_starts`.
        way: the same arm against those of `same_start`.
        place: budget, split and metric.
        confidence: level of the intervals.
    """
    if starts.verdict != "gain":
        return starts
    if way.verdict == "loss":
        return way
    size = change_of(SCORES[place.metric].change(way.mean), place.metric)
    bounds = _bounds(way, place.metric, confidence)
    told = f"to {ARMS[way.against].advice} ({size}, {bounds or 'the spread is unknown'})"
    words = {
        "gain": f"That is better than another way to use these weights, {told}.",
        "equivalent": f"Another way to use these weights is as good, {told}: take the cheaper.",
        "undecided": f"Not decided: whether that is better than another way to use these weights, {told}.",
    }
    return replace(starts, sentence=f"{starts.sentence} {words[way.verdict]}")


def _bounds(found: Recommendation, metric: Metric, confidence: float) -> str:
    """The interval in words; empty if there is none."""
    if found.low is None or found.high is None:
        return ""
    score = SCORES[metric]
    return (
        f"{in_percent(confidence)} interval {score.number(found.low, signed=True)} to "
        f"{score.number(found.high, signed=True)}{direction_of(metric)}"
    )


def _sentence(found: Recommendation, place: Place, scope: str, smallest: float, confidence: float) -> str:
    """The recommendation in words, for a reader who does not know the names of arms."""
    this, other = ARMS[found.arm].advice, ARMS[found.against].advice
    where = ", ".join(part for part in (f"With {labels_in_words(found.budget)}", scope) if part)
    images = place.images
    score = SCORES[place.metric]
    named = points(abs(found.mean), place.metric) if score.share else amount(abs(found.mean), place.metric)
    size = f"{named} {'better' if score.change(found.mean) >= 0 else 'worse'} on {images}"
    others = "other weights" if ARMS[found.arm].start != ARMS[found.against].start else "the same weights"
    rest = f"the best choice from {others}, to {other}"
    bounds = _bounds(found, place.metric, confidence)
    if not bounds:
        return f"{where}, perhaps: {this}. It is {size} than {rest}; the spread is unknown."
    if found.verdict == "gain":
        return f"{where}: {this}. It is {size} than {rest} ({bounds})."
    if found.verdict == "loss":
        return (
            f"{where}: {other}. Validation images preferred another choice, to {this}; it is {size} "
            f"(difference {bounds})."
        )
    if found.verdict == "equivalent":
        band = (
            f"within ±{points(smallest, place.metric) if score.share else amount(smallest, place.metric)} on {images}"
        )
        return f"{where}, take the cheaper: {this}; or {other}. The difference does not matter ({bounds}; {band})."
    if score.change(found.mean) < 0:
        return (
            f"{where}, not decided: to {this} was best on validation images, but seems {size} than {rest} ({bounds})."
        )
    return f"{where}, probably: {this}. It seems {size} than {rest} ({bounds})."

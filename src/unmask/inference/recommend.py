"""What to recommend of all that a user could do: chosen on tuning draws and validation, judged on test images."""

from collections.abc import Mapping

from unmask.config import ARMS
from unmask.inference.baseline import Ranking
from unmask.inference.estimate import Estimate
from unmask.inference.verdict import Contest, Place, describe_split, points, word_of
from unmask.runs.comparison_records import Recommendation
from unmask.wording import plural


def compared_with(ranking: Ranking) -> tuple[str, ...]:
    """The arms whose difference from the recommended one is judged: the best other one first, then other rivals."""
    others = [*ranking.rivals, *ranking.beaten]
    return tuple(dict.fromkeys([*others[:1], *ranking.rivals]))


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
    each arm that validation cannot tell from the best, each at the full level (intersection-union), so the best of many
    is no lucky one; "worse" against the best other arm alone. Arms that validation rules out are not tested again.

    Args:
        ranking: of all alternatives, at least two.
        differences: recommended minus other, on test images, for the arms of `compared_with`.
        place: budget, split and metric.
        smallest: the smallest difference that matters.
        confidence: of the interval.
    """
    against, *others = compared_with(ranking)
    contest = Contest(differences[against], tuple(differences[arm] for arm in others))
    p, same = contest.p_zero, contest.p_equivalent(smallest)
    found = Recommendation(
        budget=place.budget,
        split=place.split,
        arm=ranking.best,
        against=against,
        verdict=word_of(contest, p, same, 1 - confidence),
        p=p,
        sentence="",
        **vars(contest.interval(confidence)),
    )
    return Recommendation(**{**vars(found), "sentence": _sentence(found, place, smallest, confidence)})


def _sentence(found: Recommendation, place: Place, smallest: float, confidence: float) -> str:
    """The recommendation in words, for a reader who knows no names of arms."""
    arm, other = (_meaning(name) for name in (found.arm, found.against))
    where = f"With {plural(found.budget, 'label')} per class, on {describe_split(found.split)}"
    better, gap = "better" if found.mean >= 0 else "worse", points(abs(found.mean), place.metric)
    size = f"{gap} {better} than the next best choice ({other})"
    if found.low is None or found.high is None:
        return f"{where}, validation recommends: {arm}. It is {size}, but one label draw decides nothing."
    bounds = f"{confidence:.0%} interval {100 * found.low:+.1f} to {100 * found.high:+.1f}"
    if found.verdict == "gain":
        return f"{where}, use: {arm}. It is {size}, and better than every other choice ({bounds})."
    if found.verdict == "loss":
        return f"{where}, use: {other}. Validation preferred {arm}, which is {gap} worse ({bounds})."
    if found.verdict == "equivalent":
        return (
            f"{where}, it makes no difference that matters (within ±{points(smallest, place.metric)}) which you use: "
            f"{arm}; or {other} ({bounds}). Take the cheaper."
        )
    return f"{where}, validation recommends: {arm}. It is {size}, which is not decided ({bounds})."


def _meaning(arm: str) -> str:
    return ARMS[arm].meaning if arm in ARMS else arm

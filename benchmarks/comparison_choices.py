"""Rows of benchmarks/comparison_statistics.py on choices: baselines, recommendations, and when to stop.

Tables of single images are simulated here, and go through the same functions as real ones.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from comparison_rows import DRAW_IMAGE, IMAGE, REST, SPREADS, Array, Row, rates_of, student
from numpy.typing import NDArray

from unmask.comparison.looks import FIRST
from unmask.config import CompareConfig
from unmask.inference.baseline import rank_on_validation
from unmask.inference.estimate import Estimate, interval_of
from unmask.inference.hierarchy import Key, estimate_over
from unmask.inference.image_groups import per_group
from unmask.inference.looks import LookWord, look, look_draws, look_levels
from unmask.inference.recommend import compared_with
from unmask.inference.verdict import Contest
from unmask.runs.records import Interval

# -- baseline and recommendation ---------------------------------------------------------------------------------------

DEFAULTS = CompareConfig()
PLANNED, SMALLEST = DEFAULTS.planned_draws, DEFAULTS.smallest_effect
"""Label draws of the fixed design, and the smallest difference that matters, by default."""
GAPS = {"equal": (0.0, 0.0, 0.0, 0.0), "apart": (0.0, -1.0, -2.0, -4.0)}


def _accuracies(rng: np.random.Generator, levels: Array, draws: int, images: int) -> Array:
    """Values per image, shape (arms, draws, images), around `levels`, like real ones: sd in shares.

    Two arms differ on an image persistently by 12 points (sd), from draw to draw by 3.5, in a single training by 35.
    """
    arms = len(levels)
    values = levels[:, None, None] / 100 + rng.normal(0, 0.12 / 2**0.5, (arms, 1, images))
    values = values + rng.normal(0, 0.035 / 2**0.5, (arms, draws, 1))
    return values + rng.normal(0, 0.35 / 2**0.5, (arms, draws, images))


def _estimate(difference: Array) -> Estimate:
    """Estimate of the mean over draws and images, shape (draws, images)."""
    rows: dict[Key, Array] = {(None, draw): row for draw, row in enumerate(difference)}
    return estimate_over({key: float(row.mean()) for key, row in rows.items()}, rows)


def _old_interval(values: Array) -> tuple[float, float]:
    half = float(student(values.size - 1)) * values.std(ddof=1) / np.sqrt(values.size)
    return float(values.mean() - half), float(values.mean() + half)


def baseline_row(name: str, validation: int, draws: int, nulls: int, effect: float) -> Row:
    """1d: the judged arm is as good as the best of four scratch arms, which validation images choose."""
    rng = np.random.default_rng([validation, draws, *map(ord, name)])
    gaps, test = np.array(GAPS[name]), 300
    ends = {"old": np.empty((nulls, 2)), "new": np.empty((nulls, 2))}
    for i in range(nulls):
        tuning = _accuracies(rng, gaps, 3, validation)
        ranking = rank_on_validation({str(arm): tuning[arm] for arm in range(4)})
        reported = _accuracies(rng, np.array([0.0, *gaps]), draws, test)
        found = [_estimate(reported[0] - reported[1 + int(arm)]) for arm in (ranking.best, *ranking.rivals)]
        interval = Contest(found[0], tuple(found[1:])).interval(0.95, "accuracy")
        ends["new"][i] = interval.low or 0.0, interval.high or 0.0
        # the same networks' validation images: they share the draws' luck with the test
        luck = reported[1:].mean(axis=2, keepdims=True) - gaps[:, None, None] / 100
        seen = _accuracies(rng, gaps, draws, validation) + luck
        chosen = int(seen.mean(axis=(1, 2)).argmax())
        ends["old"][i] = _old_interval((reported[0] - reported[1 + chosen]).mean(axis=1))
    rates = [rates_of(100 * one[:, 0], 100 * one[:, 1], effect) for one in ends.values()]
    width = float(np.median(ends["new"][:, 1] - ends["new"][:, 0])) * 50
    setting = f"{name}, {validation} validation images, {draws} draws"
    return Row("baseline", setting, nulls, rates[0], rates[1], width)


def baseline_rows(nulls: int, effect: float) -> Iterator[Callable[[], Row]]:
    """Rows of 1d."""
    for name in GAPS:
        for validation in (30, 100, 300, 3000):
            for draws in (5, 10):
                yield lambda g=name, v=validation, d=draws: baseline_row(g, v, d, nulls, effect)


def recommend_row(arms: int, validation: int, draws: int, nulls: int, effect: float) -> Row:
    """1f: several equally good alternatives; "better than every other" and "worse" are both false."""
    rng = np.random.default_rng([arms, validation, draws, 1])
    test = 300
    ends = {"old": np.empty((nulls, 2)), "new": np.empty((nulls, 2))}
    for i in range(nulls):
        tuning = _accuracies(rng, np.zeros(arms), 3, validation)
        ranking = rank_on_validation({str(arm): tuning[arm] for arm in range(arms)})
        reported = _accuracies(rng, np.zeros(arms), draws, test)
        first = reported[int(ranking.best)]
        against, *others = [_estimate(first - reported[int(arm)]) for arm in compared_with(ranking)]
        interval = Contest(against, tuple(others)).interval(0.95, "accuracy")
        ends["new"][i] = interval.low or 0.0, interval.high or 0.0
        order = reported.mean(axis=(1, 2)).argsort()
        ends["old"][i] = _old_interval((reported[order[-1]] - reported[order[0]]).mean(axis=1))
    rates = [rates_of(100 * one[:, 0], 100 * one[:, 1], effect) for one in ends.values()]
    width = float(np.median(ends["new"][:, 1] - ends["new"][:, 0])) * 50
    setting = f"{arms} alternatives, {validation} validation images, {draws} draws"
    return Row("recommend", setting, nulls, rates[0], rates[1], width)


def recommend_rows(nulls: int, effect: float) -> Iterator[Callable[[], Row]]:
    """Rows of 1f."""
    for arms in (3, 5, 8):
        for validation in (30, 300, 3000):
            yield lambda a=arms, v=validation: recommend_row(a, v, 6, nulls, effect)


# -- groups ------------------------------------------------------------------------------------------------------------

SHARED = 0.8
"""Share of an image's variance, and of its variance with a draw, that the images of its group have in common."""


def groups_row(groups: int, unequal: bool, validation: bool, nulls: int, effect: float) -> Row:
    """1b: images in groups that are alike, six images a group on average; `old` takes images as independent.

    Nine draws of three pretrainings in turn on test images; three tuning draws of one on validation images, as they
    choose among arms.
    """
    rng = np.random.default_rng([groups, unequal, validation, 3])
    draws, pretrainings = (3, 1) if validation else (9, 3)
    ends = {"old": np.empty((nulls, 2)), "new": np.empty((nulls, 2))}
    for i in range(nulls):
        sizes = 1 + (rng.geometric(0.2, groups) if unequal else np.full(groups, 5))
        member = np.repeat(np.arange(groups), sizes)
        rows = _alike(rng, member, draws, pretrainings)
        for name, table in {"old": rows, "new": {key: per_group(row, member) for key, row in rows.items()}}.items():
            interval = interval_of(estimate_over({key: float(row.mean()) for key, row in table.items()}, table), 0.95)
            ends[name][i] = interval.low or 0.0, interval.high or 0.0
    rates = [rates_of(100 * one[:, 0], 100 * one[:, 1], effect) for one in ends.values()]
    width = float(np.median(ends["new"][:, 1] - ends["new"][:, 0])) * 50
    kind = f"{groups} {'unequal' if unequal else 'equal'} groups of {'validation' if validation else 'test'} images"
    return Row("groups", f"{kind}, {draws} draws", nulls, rates[0], rates[1], width)


def _alike(rng: np.random.Generator, member: NDArray[np.int64], draws: int, pretrainings: int) -> dict[Key, Array]:
    """Like `_table`, with images of which those of one group are alike."""

    def effects(sd: float) -> Array:
        common = rng.normal(0, sd * SHARED**0.5, member.max() + 1)[member]
        return (common + rng.normal(0, sd * (1 - SHARED) ** 0.5, len(member))) / 100

    common = effects(IMAGE)
    return {
        key: trial + common + effects(DRAW_IMAGE) + rng.normal(0, REST / 100, len(member))
        for key, trial in _trials(rng, draws, pretrainings).items()
    }


def groups_rows(nulls: int, effect: float) -> Iterator[Callable[[], Row]]:
    """Rows of 1b for images in groups."""
    for validation in (False, True):
        for groups in (5, 10, 30, 100, 300):
            for unequal in (False, True):
                yield lambda g=groups, u=unequal, v=validation: groups_row(g, u, v, nulls, effect)


# -- looks -------------------------------------------------------------------------------------------------------------


def looks_row(most: int, pretrainings: int, images: int, nulls: int, effect: float) -> Row:
    """Stop at the first look that decides, or, from nine draws on, that finds a decision out of reach; `old` takes the
    interval of 95 % at every look."""
    rng = np.random.default_rng([most, pretrainings, images, 2])
    draws = look_draws(FIRST, most)
    levels = {"old": [0.05] * len(draws), "new": look_levels(draws, [most])}
    ends: dict[str, list[tuple[float, float]]] = {"old": [], "new": []}
    power, taken = {"old": 0, "new": 0}, 0
    for _ in range(nulls):
        rows = _table(rng, most, pretrainings, images)
        shifted = {key: row + effect / 100 for key, row in rows.items()}
        for name, at in levels.items():
            give_up = PLANNED if name == "new" else most
            _, _, interval = _stop([_first(rows, count) for count in draws], draws, at, give_up)
            ends[name].append((100 * (interval.low or 0.0), 100 * (interval.high or 0.0)))
            word, count, _ = _stop([_first(shifted, count) for count in draws], draws, at, give_up)
            power[name] += word == "gain"
            taken += count if name == "new" else 0
    stopped = {name: np.array(values) for name, values in ends.items()}
    rates = {name: (*rates_of(one[:, 0], one[:, 1], effect)[:3], power[name] / nulls) for name, one in stopped.items()}
    setting = f"up to {most} draws, {pretrainings} pretrainings, {images} images ({taken / nulls:.1f} draws)"
    width = float(np.median(stopped["new"][:, 1] - stopped["new"][:, 0])) / 2
    return Row("looks", setting, nulls, rates["old"], rates["new"], width)


def _stop(
    found: list[Estimate], draws: Sequence[int], levels: Sequence[float], give_up: int
) -> tuple[LookWord, int, Interval]:
    """Where a comparison stops: the word, the draws, and the interval at the level of that look."""
    for count, one, level in zip(draws, found, levels, strict=True):
        word = look(Contest(one), level, levels[-1], draws[-1], SMALLEST, give_up=count >= give_up).word
        if word != "continue":
            break
    return word, count, interval_of(one, 1 - level)


def _table(rng: np.random.Generator, draws: int, pretrainings: int, images: int) -> dict[Key, Array]:
    """Differences per image in shares, draw s with pretraining s mod P: the spreads of `fashion`."""
    common, noise = rng.normal(0, IMAGE / 100, images), np.hypot(DRAW_IMAGE, REST) / 100
    trials = _trials(rng, draws, pretrainings)
    return {key: trial + common + rng.normal(0, noise, images) for key, trial in trials.items()}


def _trials(rng: np.random.Generator, draws: int, pretrainings: int) -> dict[Key, float]:
    """What a trial adds on every image."""
    a, b, ab = (sd / 100 for sd in SPREADS["fashion"])
    of_encoder = rng.normal(0, a if pretrainings > 1 else 0.0, pretrainings)
    of_draw = rng.normal(0, np.hypot(b, ab), draws)
    return {(s % pretrainings, s): float(of_encoder[s % pretrainings] + of_draw[s]) for s in range(draws)}


def _first(rows: dict[Key, Array], draws: int) -> Estimate:
    part = {key: row for key, row in rows.items() if key[1] < draws}
    return estimate_over({key: float(row.mean()) for key, row in part.items()}, part)


def looks_rows(nulls: int, effect: float) -> Iterator[Callable[[], Row]]:
    """Rows on deciding while draws come in."""
    for most in (18, 36):
        for pretrainings in (1, 3, 5):
            for images in (200, 1000):
                yield lambda m=most, p=pretrainings, n=images: looks_row(m, p, n, nulls, effect)

"""How often would a finished comparison have been decided, and how often falsely? Its trials replayed look by look.

A replay draws pretrainings, label draws and test images from those of the run, with replacement. The differences per
test image between the recommended arm and each arm that it is judged against are taken apart into the mean of an image,
what a pretraining adds, and what a label draw adds to its pretraining; the last two are widened by √(n / (n - 1)),
because they were measured around their own mean. What a pretraining adds contains the luck of its few draws, so
replays vary rather more than real repetitions. They go through the product's looks, and through its fixed design. With
`as recorded` the differences have their means, with `no difference` each of them is moved to zero: any gain or loss is
false.

    python benchmarks/replaying.py RUN [--pretrainings 3 5] [--replays 400]
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unmask.comparison.looks import FACTOR, FIRST
from unmask.comparison.plan import all_trials
from unmask.comparison.table import values_per_image
from unmask.comparison.tuning import choose_recipes, read_correct
from unmask.config import CompareConfig
from unmask.data.load import load_data
from unmask.inference.baseline import rank_on_validation
from unmask.inference.hierarchy import Key, estimate_over, paired_differences
from unmask.inference.looks import look, look_draws, look_levels
from unmask.inference.recommend import compared_with, other_starts
from unmask.inference.verdict import Contest, word_of
from unmask.runs.layout import LOOKS_FILE
from unmask.runs.look_records import LookRows
from unmask.runs.read import read_config, read_optional

Array = NDArray[np.float64]
DECIDED = ("gain", "loss", "equivalent")


def recorded(run: Path) -> tuple[CompareConfig, list[str], dict[Key, Array]]:
    """The configuration, the recommended arm with those it is judged against, and by (pretraining, draw) the
    differences at the primary budget, shape (others, test images)."""
    config = read_config(run)
    assert isinstance(config, CompareConfig)
    data = load_data(config.data, labels=True, progress=False)
    assert data.task is not None
    assert data.val is not None
    recipes = choose_recipes(config, run)
    groups = data.groups_of(data.val)
    correct = read_correct(config, run, recipes, data.task, data.val.labels, groups)[config.budgets[0]]
    ranking = other_starts(rank_on_validation(correct))
    arms = [ranking.best, *compared_with(ranking)]
    looks = read_optional(LookRows, run / LOOKS_FILE)
    draws = config.planned_draws if looks is None else looks.looks[-1].draws
    wanted = replace(config, arms=tuple(arms), draws=draws, budgets=config.budgets[:1])
    found = values_per_image(all_trials(wanted), run, data, config.metric)
    best, *others = (found[arm, config.budgets[0], next(iter(data.tests))] for arm in arms)
    pairs = [paired_differences(best, other) for other in others]
    return config, arms, {key: np.stack([pair[key] for pair in pairs]) for key in pairs[0]}


class Replays:
    """Tables that another run might have given."""

    def __init__(self, differences: dict[Key, Array], *, shifted: bool) -> None:
        """Take the recorded table apart; with `shifted` no arm differs from the recommended one in the mean."""
        owners = sorted({p for p, _ in differences}, key=lambda p: -1 if p is None else p)
        by_owner = [np.stack([rows for (p, _), rows in differences.items() if p == owner]) for owner in owners]
        means = np.stack([rows.mean(axis=0) for rows in by_owner])
        self.images = means.mean(axis=0)
        self.pretrainings = (means - self.images) * _widened(len(owners))
        self.draws = np.concatenate(
            [(rows - rows.mean(axis=0)) * _widened(len(rows)) for rows in by_owner if len(rows) > 1]
        )
        if shifted:
            self.images = self.images - self.images.mean(axis=1, keepdims=True)

    def table(self, rng: np.random.Generator, pretrainings: int, draws: int) -> dict[Key, Array]:
        """Draw s with pretraining s mod P, as the diagonal design has it."""
        images = rng.integers(0, self.images.shape[1], self.images.shape[1])
        owners = rng.integers(0, len(self.pretrainings), pretrainings)
        rests = rng.integers(0, len(self.draws), draws)
        parts = (self.images + self.pretrainings[owners[s % pretrainings]] + self.draws[rests[s]] for s in range(draws))
        return {(s % pretrainings, s): part[:, images] for s, part in enumerate(parts)}


def _widened(count: int) -> float:
    return float(np.sqrt(count / (count - 1))) if count > 1 else 1.0


def contest(table: dict[Key, Array], draws: int) -> Contest:
    """The question after the first draws."""
    part = {key: rows for key, rows in table.items() if key[1] < draws}
    first, *others = (
        estimate_over(
            {key: float(rows[arm].mean()) for key, rows in part.items()}, {k: r[arm] for k, r in part.items()}
        )
        for arm in range(len(next(iter(part.values()))))
    )
    return Contest(first, tuple(others))


def stopped(table: dict[Key, Array], config: CompareConfig, levels: Sequence[float]) -> tuple[str, int]:
    """The word of the look that ends the comparison, and its draws."""
    fixed, most = config.planned_draws, FACTOR * config.planned_draws
    for draws, level in zip(look_draws(FIRST, most), levels, strict=True):
        give_up, smallest = draws >= fixed, config.smallest_effect
        word = look(contest(table, draws), level, levels[-1], most, smallest, give_up=give_up).word
        if word != "continue":
            break
    return word, draws


def fixed_word(table: dict[Key, Array], config: CompareConfig) -> str:
    """The word of the fixed design."""
    found = contest(table, config.planned_draws)
    return word_of(found, found.p_zero, found.p_equivalent(config.smallest_effect), 1 - config.confidence)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--pretrainings", type=int, nargs="+", default=[3, 5])
    parser.add_argument("--replays", type=int, default=400)
    options = parser.parse_args()
    config, arms, differences = recorded(options.run)
    config = replace(config, draws=None)
    most = FACTOR * config.planned_draws
    levels = look_levels(look_draws(FIRST, most), [most], 1 - config.confidence)
    mean = 100 * np.mean([rows.mean(axis=1) for rows in differences.values()], axis=0)
    told = ", ".join(f"{arm} {value:+.1f}" for arm, value in zip(arms[1:], mean, strict=True))
    print(f"{arms[0]} against (points over {len(differences)} draws): {told}")
    print("| truth | pretrainings | looks: gain, loss, equivalent, % | draws | nine draws: gain, loss, equivalent, % |")
    print("|---|---|---|---|---|")
    for name, shifted in (("as recorded", False), ("no difference", True)):
        replays = Replays(differences, shifted=shifted)
        for pretrainings in options.pretrainings:
            rng = np.random.default_rng([pretrainings, shifted])
            tables = (replays.table(rng, pretrainings, most) for _ in range(options.replays))
            ends = [(*stopped(table, config, levels), fixed_word(table, config)) for table in tables]
            shares = [
                ", ".join(f"{np.mean([end[at] == word for end in ends]):.0%}".rstrip("%") for word in DECIDED)
                for at in (0, 2)
            ]
            draws = np.mean([end[1] for end in ends])
            print(f"| {name} | {pretrainings} | {shares[0]} | {draws:.1f} | {shares[1]} |", flush=True)


if __name__ == "__main__":
    main()

"""Scores of a comparison that was never made."""

from collections.abc import Callable

import numpy as np

from unmask.runs.summary_records import Score

ARMS = ("mrp", "scratch_same", "scratch_best", "probe_mrp", "probe_random")


def made_scores(
    value: Callable[[str, int, int, str], float], *, budgets: tuple[int, ...] = (10, 50), draws: int = 5
) -> list[Score]:
    """Accuracies of every arm by (arm, budget, draw, split)."""
    return [
        Score(
            arm=arm,
            budget=budget,
            draw=draw,
            pretraining=0 if arm.endswith("mrp") else None,
            split=split,
            metric="accuracy",
            value=value(arm, budget, draw, split),
            seconds=2.0,
        )
        for arm in ARMS
        for budget in budgets
        for draw in range(draws)
        for split in ("val", "test")
    ]


def noise(arm: str, draw: int) -> float:
    """What differs from draw to draw, otherwise for each length of name."""
    return 0.001 * float(np.cos(7 * draw + len(arm)))


def gain(size: float) -> Callable[[str, int, int, str], float]:
    """Accuracies of which those of mrp are higher by `size`."""

    def value(arm: str, budget: int, draw: int, split: str) -> float:
        return 0.6 + 0.05 * draw + (size if arm == "mrp" else 0.0) + noise(arm, draw)

    return value

"""How many times the labels pretraining is worth: curves with a known answer."""

import numpy as np
import pytest

from unmask.inference.estimate import Estimate
from unmask.inference.hierarchy import Key, estimate_over
from unmask.inference.labels_worth import labels_worth
from unmask.inference.verdict import Place
from unmask.runs.summary_records import LabelsWorth

BUDGETS = (10, 20, 40, 80)
PER_CLASS = {budget: 3.0 * budget for budget in BUDGETS}
"""Labeled images of three classes."""


def _worth(factor: float, noise: float, draws: int = 6, seed: int = 0, budget: int = 10) -> LabelsWorth:
    """Scratch gains 0.1 per doubling of labels; pretraining is worth `factor` times the labels."""
    rng = np.random.default_rng(seed)
    differences = {}
    for size in BUDGETS:
        values: dict[Key, float] = {
            (0, s): 0.1 * float(np.log2(factor * budget / size)) + float(rng.normal(0, noise)) for s in range(draws)
        }
        differences[size] = estimate_over(values)
    found = labels_worth(differences, PER_CLASS, Place(budget, "test", ""), confidence=0.95)
    assert found is not None
    return found


def test_the_factor_is_found() -> None:
    found = _worth(3.0, 1e-6)
    assert found.times == pytest.approx(3.0, rel=1e-3)
    assert "about 3.0 times the labels (95% interval 3.0 to 3.0)" in found.sentence
    assert _worth(0.5, 1e-6, budget=40).times == pytest.approx(0.5, rel=1e-3)


def test_the_interval_covers_the_factor() -> None:
    found = [_worth(3.0, 0.05, seed=seed) for seed in range(200)]
    covered = sum((one.low or 0.0) <= 3.0 <= (one.high or np.inf) for one in found)
    assert covered >= 181  # 200 at 0.95: standard deviation 3.1


def test_beyond_the_measured_budgets_it_says_so() -> None:
    found = _worth(100.0, 0.001)
    assert (found.times, found.low, found.high) == (None, None, None)
    assert (
        "worth more than 8 times the labels (the whole 95% interval; scratch with more was not tried)" in found.sentence
    )
    found = _worth(0.1, 0.001)
    assert "worth fewer labels than it has (the whole 95% interval; scratch with fewer was not tried)" in found.sentence
    found = _worth(3.0, 0.001, budget=80)
    assert "worth more labels than it has (the whole 95% interval; scratch with more was not tried)" in found.sentence


def test_one_budget_or_one_draw_has_no_answer() -> None:
    place = Place(10, "test", "")
    assert labels_worth({10: estimate_over({(0, 0): 0.1, (0, 1): 0.2})}, PER_CLASS, place, confidence=0.95) is None
    single = {b: estimate_over({(0, 0): 0.1 - b / 200}) for b in BUDGETS}
    found = labels_worth(single, PER_CLASS, place, confidence=0.95)
    assert found is not None
    assert (found.low, found.high) == (None, None)
    assert "exceeds the measured range" in found.sentence


def test_budgets_of_every_kind_count_by_their_images() -> None:
    """Twice the score at 30 images in all as at 10, in whatever order and of whatever kind; equal numbers have none."""
    labeled = {"all": 40.0, "total:10": 10.0, 10: 30.0, "25%": 10.0}

    def at(difference: float) -> Estimate:
        return estimate_over({(0, 0): difference - 1e-6, (0, 1): difference + 1e-6})

    differences = {"all": at(-0.2), "total:10": at(0.1), 10: at(0.0), "25%": at(0.1)}
    found = labels_worth(differences, labeled, Place("total:10", "test", "", "macro_f1"), confidence=0.95)
    assert found is not None
    assert found.times == pytest.approx(3.0, rel=1e-3)
    assert found.sentence.startswith(
        "With 10 labels in all, on test images, by macro-F1, pretraining is worth about 3.0 times the labels"
    )
    same = {budget: differences[budget] for budget in ("total:10", "25%")}
    assert labels_worth(same, labeled, Place("25%", "test", ""), confidence=0.95) is None

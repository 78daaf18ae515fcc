"""From cells to verdicts: pairing, the choice of the baseline, the four words, and plain JSON."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from unmask.errors import UserError
from unmask.evaluate.summary import summarise

Cells = list[dict[str, Any]]
ARMS = ("mrp", "scratch_same", "scratch_best", "probe_mrp", "probe_random")


def _cells(
    value: Callable[[str, int, int, str], float], *, budgets: tuple[int, ...] = (10, 50), draws: int = 5
) -> Cells:
    return [
        {
            "arm": arm,
            "budget": budget,
            "seed": seed,
            "pretrain_seed": 0 if arm.endswith("mrp") else None,
            "split": split,
            "metric": "accuracy",
            "value": value(arm, budget, seed, split),
            "seconds": 2.0,
        }
        for arm in ARMS
        for budget in budgets
        for seed in range(draws)
        for split in ("val", "test")
    ]


def _summary(cells: Cells, budgets: tuple[int, ...] = (10, 50), **options: Any) -> dict[str, Any]:
    settings = {"budgets": budgets, "primary_budget": budgets[0], "arms": ARMS, "smallest_effect": 0.01}
    return summarise(cells, **{**settings, "confidence": 0.95, **options})


def _noise(arm: str, seed: int) -> float:
    return 0.001 * float(np.cos(7 * seed + len(arm)))


def _gain(size: float) -> Callable[[str, int, int, str], float]:
    def value(arm: str, budget: int, seed: int, split: str) -> float:
        return 0.6 + 0.05 * seed + (size if arm == "mrp" else 0.0) + _noise(arm, seed)

    return value


def test_intervals_of_scores_end_at_0_and_1() -> None:
    """Student's t knows no bounds; what it has beyond them holds no true mean and is cut off."""
    cells = _cells(lambda arm, _budget, seed, _split: 1.0 - 0.05 * (seed == 0) if arm == "mrp" else 0.05 * (seed == 0))
    for row in _summary(cells)["means"]:
        ends = (row["low"], row["high"])
        inner = row["mean"] - stats.t.ppf(0.975, 4) * 0.01, row["mean"] + stats.t.ppf(0.975, 4) * 0.01
        assert ends == pytest.approx((inner[0], 1.0) if row["arm"] == "mrp" else (0.0, inner[1]))


def test_a_difference_beyond_100_points_is_not_spoken_of() -> None:
    """Two pairs far apart: the interval ends at ±100 points, and nothing larger is promised to be found."""
    apart = {("mrp", 0): 0.9, ("mrp", 1): 0.3}
    cells = _cells(lambda arm, _budget, seed, _split: apart.get((arm, seed), 0.5), draws=2)
    verdict = _summary(cells)["verdicts"][0]
    assert (verdict["low"], verdict["high"]) == (-1.0, 1.0)
    assert "interval -100.0 to +100.0, n = 2" in verdict["sentence"]
    assert verdict["sentence"].endswith("even the largest difference is often missed.")


def test_only_differences_are_paired() -> None:
    """The method of a mean of one arm is "t", that of a difference "paired t"; the bootstrap is called alike."""
    for draws, means, differences in ((5, "t over", "paired t over"), (12, "bootstrap over", "bootstrap over")):
        summary = _summary(_cells(_gain(0.02), draws=draws))
        assert {row["method"].split(" label")[0] for row in summary["means"]} == {means}
        assert {row["method"].split(" label")[0] for row in summary["differences"]} == {differences}


def test_pairing_takes_the_label_draw_out() -> None:
    row = _summary(_cells(_gain(0.02)))["differences"][0]
    assert row["baseline"] == "best scratch arm"
    assert row["high"] - row["low"] < 0.006  # The draws alone spread over 20 points.
    assert row["low"] < 0.02 < row["high"]


@pytest.mark.parametrize(("size", "word"), [(0.02, "gain"), (-0.02, "loss"), (0.0, "equivalent")])
def test_words(size: float, word: str) -> None:
    verdicts = _summary(_cells(_gain(size)))["verdicts"]
    assert [row["verdict"] for row in verdicts] == [word, word]


def test_undecided_names_the_detectable_effect() -> None:
    def value(arm: str, budget: int, seed: int, split: str) -> float:
        return 0.6 + (0.03 * (-1) ** seed if arm == "mrp" else 0.0)

    row = _summary(_cells(value))["verdicts"][0]
    assert row["verdict"] == "undecided"
    assert row["detectable"] > 0.03
    assert f"{100 * row['detectable']:.1f} points would have been found" in row["sentence"]


def test_one_draw_decides_nothing() -> None:
    row = _summary(_cells(_gain(0.3), draws=1))["verdicts"][0]
    assert (row["verdict"], row["low"], row["detectable"]) == ("undecided", None, None)
    assert "one pair has no interval" in row["sentence"]


def test_the_baseline_is_chosen_on_validation_even_where_it_is_worse_on_test() -> None:
    def value(arm: str, budget: int, seed: int, split: str) -> float:
        better_on = {"scratch_same": "val", "scratch_best": "test"}.get(arm)
        return 0.5 + (0.1 if split == better_on else 0.0) + _noise(arm, seed)

    summary = _summary(_cells(value))
    assert {row["baseline"] for row in summary["verdicts"]} == {"scratch_same"}


def test_a_budget_chooses_its_own_baseline() -> None:
    def value(arm: str, budget: int, seed: int, split: str) -> float:
        favourite = {10: "scratch_same", 50: "scratch_best"}[budget]
        return 0.5 + (0.1 if arm == favourite else 0.0) + _noise(arm, seed)

    chosen = {row["budget"]: row["baseline"] for row in _summary(_cells(value))["verdicts"]}
    assert chosen == {10: "scratch_same", 50: "scratch_best"}


def test_without_validation_there_is_no_verdict_and_a_note() -> None:
    cells = [cell for cell in _cells(_gain(0.1)) if cell["split"] != "val"]
    summary = _summary(cells)
    assert summary["verdicts"] == []
    assert any("validation accuracies are missing" in note for note in summary["notes"])
    assert any(row["baseline"] == "scratch_same" for row in summary["differences"])


def test_validation_accuracy_may_come_as_a_metric() -> None:
    cells = [cell for cell in _cells(_gain(0.1)) if cell["split"] != "val"]
    cells += [{**cell, "metric": "val_accuracy"} for cell in cells]
    assert [row["verdict"] for row in _summary(cells)["verdicts"]] == ["gain", "gain"]


def test_where_validation_is_all_there_is_it_is_scored() -> None:
    cells = [cell for cell in _cells(_gain(0.1)) if cell["split"] == "val"]
    assert {row["split"] for row in _summary(cells)["verdicts"]} == {"val"}


def test_holm_spares_the_primary_budget_and_binds_the_others() -> None:
    def value(arm: str, budget: int, seed: int, split: str) -> float:
        return 0.5 + ([0.003, 0.019, 0.01, 0.012, 0.005][seed] if arm == "mrp" else 0.0)

    rows = _summary(_cells(value, budgets=(10, 50, 100, 200)), budgets=(10, 50, 100, 200))["verdicts"]
    assert [row["verdict"] for row in rows] == ["gain"] + ["undecided"] * 3
    assert rows[1]["p"] == pytest.approx(3 * rows[0]["p"])
    assert rows[1]["detectable"] > rows[0]["detectable"]
    assert rows[0]["primary"]
    assert not rows[1]["primary"]


def test_headline_is_the_primary_budget_on_the_primary_split() -> None:
    cells = _cells(_gain(0.02))
    cells += [{**cell, "split": "single_2"} for cell in cells if cell["split"] == "test"]
    assert _summary(cells)["verdicts"][0]["split"] == "test"
    summary = _summary(cells, budgets=(50, 10), primary_budget=50, primary_split="single_2")
    assert (summary["verdicts"][0]["split"], summary["verdicts"][0]["budget"]) == ("single_2", 50)
    assert len(summary["verdicts"]) == 4


def test_unfinished_comparisons_pair_what_is_there() -> None:
    cells = [c for c in _cells(_gain(0.02)) if not (c["arm"] == "mrp" and c["seed"] > 2)]
    assert _summary(cells)["verdicts"][0]["n"] == 3
    assert _summary([])["verdicts"] == []


def test_undefined_scores_are_left_out_and_the_result_is_json() -> None:
    cells = _cells(_gain(0.02))
    cells += [{**cell, "metric": "auroc", "value": None} for cell in cells]
    summary = _summary(cells)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert "auroc" not in {row["metric"] for row in summary["means"]}


def test_the_order_of_cells_does_not_matter() -> None:
    cells = _cells(_gain(0.02))
    first, second = _summary(cells), _summary(cells[::-1])
    assert {k: v for k, v in first.items() if k != "cells"} == {k: v for k, v in second.items() if k != "cells"}


def test_seconds_count_once_a_cell() -> None:
    cells = _cells(_gain(0.02))
    cells += [{**cell, "metric": "macro_f1"} for cell in cells]
    row = _summary(cells)["seconds"][0]
    assert row == {"arm": "mrp", "seconds": 2.0 * 5 * 2, "cells": 10}


def test_ensemble_gap() -> None:
    cells = _cells(_gain(0.0))
    place = {"arm": "scratch_same", "budget": 10, "seed": 0, "pretrain_seed": None, "split": "test", "seconds": None}
    cells.append({**place, "metric": "ensemble_accuracy", "value": 0.9})
    (row,) = _summary(cells)["ensembles"]
    assert row["gap"] == pytest.approx(0.9 - row["mean"])
    assert "ensemble_accuracy" not in {row["metric"] for row in _summary(cells)["means"]}


def test_the_same_cell_twice_with_two_values_is_an_error() -> None:
    cells = _cells(_gain(0.0))
    with pytest.raises(UserError, match="two values"):
        _summary([*cells, {**cells[0], "value": 0.1}])


def test_notes_say_that_the_interval_is_conditional() -> None:
    assert any("hold for the encoders of 1 pretraining only" in note for note in _summary(_cells(_gain(0.0)))["notes"])

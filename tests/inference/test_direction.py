"""Choices and verdicts on a metric of which less is better: errors are mirrored scores, so nothing may change.

Each test gives the same networks twice: scored by a correlation (more is better) and by an error that is one minus it.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from unmask.config import CompareConfig, DataConfig
from unmask.config.metric import SCORES, Metric
from unmask.inference.baseline import Ranking, rank_scratch
from unmask.inference.estimate import estimate_mean
from unmask.inference.evidence import Evidence
from unmask.inference.label_ways import labels_gains
from unmask.inference.recommend import recommend
from unmask.inference.summary import summarize
from unmask.inference.table import Table
from unmask.inference.verdict import Place
from unmask.runs.kept import best_trial
from unmask.runs.scores import RegressionScores, merit_of
from unmask.runs.summary_records import Score, Summary
from unmask.runs.trial_records import TrialResult

ARMS = ("mrp", "scratch_same", "scratch_best")
SKILL: Mapping[tuple[str, int], float] = {
    ("mrp", 10): 0.6,
    ("mrp", 40): 0.7,
    ("scratch_same", 10): 0.3,
    ("scratch_same", 40): 0.5,
    ("scratch_best", 10): 0.4,
    ("scratch_best", 40): 0.6,
}
"""Of arm and labels."""


def _scored(metric: Metric, skill: float) -> float:
    return skill if metric == "spearman" else 1 - skill


def _regression(skill: float) -> RegressionScores:
    return RegressionScores(images=9, mae=1 - skill, rmse=1 - skill, r2=skill, spearman=skill, per_target=())


def _summary(metric: Metric) -> Summary:
    scores = [
        Score(
            arm=arm,
            budget=f"total:{labels}",
            draw=draw,
            pretraining=0 if arm == "mrp" else None,
            split=split,
            metric=metric,
            value=_scored(metric, skill + 0.002 * float(np.cos(7 * draw + len(arm)))),
            seconds=1.0,
        )
        for (arm, labels), skill in SKILL.items()
        for draw in range(5)
        for split in ("val", "test")
    ]
    config = CompareConfig(
        data=DataConfig(task="regression"),
        budgets=("total:10", "total:40"),
        arms=ARMS,
        metric=metric,
        smallest_effect=0.01,
    )
    return summarize(config, scores, evidence=Evidence(labeled={"total:10": 10.0, "total:40": 40.0}))


def test_a_merit_is_more_where_it_is_better() -> None:
    """Undefined values are below all others; a difference is turned back for a reader."""
    mae = SCORES["mae"]
    assert mae.merit(0.2) > mae.merit(0.3) > mae.merit(None) == mae.merit(float("nan"))
    assert mae.change(mae.merit(0.2) - mae.merit(0.3)) == pytest.approx(-0.1)
    assert merit_of(_regression(0.7), "spearman") > merit_of(_regression(0.6), "spearman")
    assert merit_of(_regression(0.7), "mae") > merit_of(_regression(0.6), "mae")


def test_baseline_verdict_and_labels_are_those_of_the_mirrored_metric() -> None:
    """The baseline is the arm with the least error; its verdict is a gain; labels are worth as many times."""
    by_skill, by_error = _summary("spearman"), _summary("mae")
    assert by_error.settings.best_scratch == by_skill.settings.best_scratch
    assert by_error.settings.best("total:10") == "scratch_best"
    assert [one.verdict for one in by_error.verdicts] == [one.verdict for one in by_skill.verdicts] == ["gain"] * 2
    first, mirrored = by_skill.verdicts[0], by_error.verdicts[0]
    assert (mirrored.mean, mirrored.low, mirrored.high) == pytest.approx((-first.mean, -first.high, -first.low))
    worth, same = (one.labels_worth[0] for one in (by_error, by_skill))
    assert (worth.times, worth.low, worth.high) == pytest.approx((same.times, same.low, same.high))
    assert worth.times == pytest.approx(4.0, rel=0.05)
    assert "by MAE, pretraining is worth" in worth.sentence


def test_sentences_are_in_the_unit_of_the_metric() -> None:
    """With the direction where less is better, and no per cent."""
    found = _summary("mae")
    text = found.verdicts[0].sentence
    assert "pretraining helps: -0.199 in MAE (lower is better) against the best scratch arm" in text
    assert "%" not in text.replace("95% interval", "")
    assert "point" not in text


def test_the_recommended_arm_is_better_by_so_much_error() -> None:
    """What is better is said to be better; the interval is that of the metric."""
    differences = {"given": estimate_mean(np.array([0.31, 0.32, 0.28, 0.29]))}
    found = recommend(
        Ranking("mrp", ("given",)), differences, Place("total:10", "test", "", "mae"), smallest=0.05, confidence=0.95
    )
    assert found.verdict == "gain"
    assert found.mean == pytest.approx(-0.3)
    assert "0.3 in MAE better on test images" in found.sentence
    assert "(lower is better)" in found.sentence


@pytest.mark.parametrize("metric", ["spearman", "mae"])
def test_scratch_arms_without_tuning_draws(metric: Metric) -> None:
    table: Table = {
        (arm, 10, "val", metric): {(None, 0): _scored(metric, SKILL[arm, 10])}
        for arm in ("scratch_same", "scratch_best")
    }
    found = rank_scratch(table, ("scratch_same", "scratch_best"), 10, metric=metric)
    assert found is not None
    assert found.best == "scratch_best"


@pytest.mark.parametrize(("metric", "sign"), [("spearman", 1), ("mae", -1)])
def test_ways_to_find_labels(metric: Metric, sign: int) -> None:
    """Choosing is worth 0.05; its row is a gain, of the metric's own sign."""
    table: Table = {}
    for arm, base in (("mrp", 0.7), ("scratch_same", 0.6)):
        for way, more in (("random", 0.0), ("chosen", 0.05)):
            skill = [base + more + 0.001 * float(np.cos(7 * draw + len(arm + way))) for draw in range(5)]
            key = (arm, f"{way}:50", "test", metric)
            table[key] = {(0 if arm == "mrp" else None, draw): _scored(metric, one) for draw, one in enumerate(skill)}
    config = CompareConfig(budgets=("total:50",), labels=("random", "chosen"), metric=metric)
    rows = labels_gains(table, "test", {"random:50": "scratch_same"}, config, Evidence())
    both = next(row for row in rows if row.what == "both")
    assert (both.verdict, both.mean) == ("gain", pytest.approx(sign * 0.15, abs=0.003))


def test_of_kept_networks_the_best_has_the_least_error() -> None:
    trials = {name: _trial(skill) for name, skill in (("a", 0.5), ("b", 0.8), ("c", 0.6))}
    metrics: Sequence[Metric] = ("spearman", "r2", "mae", "rmse")
    assert [best_trial(trials, metric) for metric in metrics] == ["b"] * 4


def _trial(skill: float) -> TrialResult:
    return TrialResult(
        arm="mrp",
        budget="total:10",
        draw=0,
        pretraining=0,
        metrics={"val": _regression(skill)},
        labeled_images=10,
        seconds=1.0,
        history=(),
        probe_strength=None,
    )

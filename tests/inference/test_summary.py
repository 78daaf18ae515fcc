"""From scores to verdicts: pairing, the choice of the baseline, the four words, and plain JSON."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from comparison_scores import ARMS, gain, made_scores, noise
from unmask.config import CompareConfig, from_json, to_json
from unmask.errors import UserError
from unmask.evaluate.metrics import classification_metrics
from unmask.inference.evidence import Evidence
from unmask.inference.rows import Ensembles
from unmask.inference.summary import summarize
from unmask.inference.table import scores_of
from unmask.runs.summary_records import ArmSeconds, Score, Summary
from unmask.runs.trial_records import TrialResult


def _summary(scores: list[Score], budgets: tuple[int, ...] = (10, 50), ensembles: Ensembles | None = None) -> Summary:
    config = CompareConfig(budgets=budgets, arms=ARMS, smallest_effect=0.01, confidence=0.95)
    return summarize(
        config, scores, ensembles=ensembles, evidence=Evidence(labeled={10: 30.0, 50: 150.0, "all": 300.0})
    )


def test_intervals_of_scores_end_at_0_and_1() -> None:
    """Student's t knows no bounds; what it has beyond them holds no true mean and is cut off."""
    scores = made_scores(
        lambda arm, _budget, draw, _split: 1.0 - 0.05 * (draw == 0) if arm == "mrp" else 0.05 * (draw == 0)
    )
    for row in _summary(scores).means:
        ends = (row.low, row.high)
        inner = row.mean - stats.t.ppf(0.975, 4) * 0.01, row.mean + stats.t.ppf(0.975, 4) * 0.01
        assert ends == pytest.approx((inner[0], 1.0) if row.arm == "mrp" else (0.0, inner[1]))


def test_a_difference_beyond_100_points_is_not_spoken_of() -> None:
    """Two pairs far apart: the interval ends at ±100 points, and nothing larger is promised to be found."""
    apart = {("mrp", 0): 0.9, ("mrp", 1): 0.3}
    scores = made_scores(lambda arm, _budget, draw, _split: apart.get((arm, draw), 0.5), draws=2)
    verdict = _summary(scores).verdicts[0]
    assert (verdict.low, verdict.high) == (-1.0, 1.0)
    assert "interval -100.0 to +100.0, over 2 label draws)" in verdict.sentence
    assert verdict.sentence.endswith("even the largest difference would often be missed.")


def test_only_differences_are_paired() -> None:
    """The method of a mean of one arm is "t", that of a difference "paired t"; the bootstrap is called alike."""
    for draws, means, differences in ((5, "t over", "paired t over"), (12, "bootstrap over", "bootstrap over")):
        summary = _summary(made_scores(gain(0.02), draws=draws))
        assert {row.method.split(" label")[0] for row in summary.means} == {means}
        assert {row.method.split(" label")[0] for row in summary.differences} == {differences}


def test_half_of_the_validation_images_is_named_wherever_the_test_is() -> None:
    """Sentences, methods, sources of variance and advice; records keep the split's name."""
    scores = made_scores(gain(0.004), draws=3)
    rng = np.random.default_rng(4)
    keys = {arm: {(one.pretraining, one.draw) for one in scores if one.arm == arm} for arm in ARMS}
    tuning = {10: {arm: (rng.random((3, 90)) < 0.8).astype(float) for arm in ARMS}}
    of = {(arm, b, "test"): {key: rng.random(40) for key in keys[arm]} for arm in ARMS for b in (10, 50)}
    for grouped, noun in ((False, "image"), (True, "group")):
        evidence = Evidence(images=of, grouped=grouped, tuning=tuning, labeled={10: 30.0, 50: 150.0})
        config = CompareConfig(budgets=(10, 50), arms=ARMS)
        ordinary, halved = (
            summarize(replace(config, evaluate_on=on), scores, evidence=evidence) for on in ("test", "val")
        )
        written = json.dumps(to_json(ordinary))
        assert f"test {noun}" in written
        expected = re.sub("test (images?|groups?)", r"held-out validation \1", written)
        assert json.dumps(to_json(halved)) == expected


def test_pairing_takes_the_label_draw_out() -> None:
    row = _summary(made_scores(gain(0.02))).differences[0]
    assert row.baseline == "best scratch arm"
    assert row.high - row.low < 0.006  # The draws alone spread over 20 points.
    assert row.low < 0.02 < row.high


@pytest.mark.parametrize(("size", "word"), [(0.02, "gain"), (-0.02, "loss"), (0.0, "equivalent")])
def test_words(size: float, word: str) -> None:
    verdicts = _summary(made_scores(gain(size))).verdicts
    assert [row.verdict for row in verdicts] == [word, word]


def test_undecided_names_the_detectable_effect() -> None:
    def value(arm: str, budget: int, draw: int, split: str) -> float:
        return 0.6 + (0.03 * (-1) ** draw if arm == "mrp" else 0.0)

    row = _summary(made_scores(value)).verdicts[0]
    assert row.verdict == "undecided"
    assert row.detectable > 0.03
    assert f"{100 * row.detectable:.1f} points would have been found" in row.sentence


def test_one_draw_decides_nothing() -> None:
    row = _summary(made_scores(gain(0.3), draws=1)).verdicts[0]
    assert (row.verdict, row.low, row.detectable) == ("undecided", None, None)
    assert "one pair has no interval" in row.sentence


def test_the_baseline_is_chosen_on_validation_even_where_it_is_worse_on_test() -> None:
    def value(arm: str, budget: int, draw: int, split: str) -> float:
        better_on = {"scratch_same": "val", "scratch_best": "test"}.get(arm)
        return 0.5 + (0.1 if split == better_on else 0.0) + noise(arm, draw)

    summary = _summary(made_scores(value))
    assert {row.baseline for row in summary.verdicts} == {"scratch_same"}


def test_a_budget_chooses_its_own_baseline() -> None:
    def value(arm: str, budget: int, draw: int, split: str) -> float:
        favorite = {10: "scratch_same", 50: "scratch_best"}[budget]
        return 0.5 + (0.1 if arm == favorite else 0.0) + noise(arm, draw)

    chosen = {row.budget: row.baseline for row in _summary(made_scores(value)).verdicts}
    assert chosen == {10: "scratch_same", 50: "scratch_best"}


def test_without_validation_there_is_no_verdict_and_a_note() -> None:
    scores = [score for score in made_scores(gain(0.1)) if score.split != "val"]
    summary = _summary(scores)
    assert summary.verdicts == ()
    assert any("validation scores are missing" in note for note in summary.notes)
    assert any(row.baseline == "scratch_same" for row in summary.differences)


def test_where_validation_is_all_there_is_it_is_scored() -> None:
    scores = [score for score in made_scores(gain(0.1)) if score.split == "val"]
    assert {row.split for row in _summary(scores).verdicts} == {"val"}


def test_holm_spares_the_primary_budget_and_binds_the_others() -> None:
    def value(arm: str, budget: int, draw: int, split: str) -> float:
        return 0.5 + ([0.003, 0.019, 0.01, 0.012, 0.005][draw] if arm == "mrp" else 0.0)

    rows = _summary(made_scores(value, budgets=(10, 50, 100, 200)), budgets=(10, 50, 100, 200)).verdicts
    assert [row.verdict for row in rows] == ["gain"] + ["undecided"] * 3
    assert rows[1].p == pytest.approx(3 * rows[0].p)
    assert rows[1].detectable > rows[0].detectable
    assert rows[0].primary
    assert not rows[1].primary


def test_headline_is_the_primary_budget_on_the_primary_split() -> None:
    scores = made_scores(gain(0.02))
    scores += [replace(score, split="single_2") for score in scores if score.split == "test"]
    assert _summary(scores).verdicts[0].split == "test"
    summary = _summary(scores, budgets=(50, 10))
    assert (summary.verdicts[0].split, summary.verdicts[0].budget) == ("test", 50)
    assert len(summary.verdicts) == 4


def test_unfinished_comparisons_pair_what_is_there() -> None:
    scores = [c for c in made_scores(gain(0.02)) if not (c.arm == "mrp" and c.draw > 2)]
    assert _summary(scores).verdicts[0].n == 3
    assert _summary([]).verdicts == ()


def test_undefined_scores_are_left_out_and_the_result_is_json() -> None:
    one = classification_metrics(torch.eye(2), torch.tensor([0, 0]), "ab")
    keys = {"arm": "mrp", "budget": 10, "draw": 0, "pretraining": 0, "labeled_images": 20, "seconds": 2.0}
    trial = TrialResult(**keys, metrics={"test": one}, history=(), probe_strength=None)
    assert one.auroc is None
    assert [score.metric for score in scores_of(trial)] == ["accuracy", "balanced_accuracy", "macro_f1"]
    summary = _summary(made_scores(gain(0.02)))
    assert from_json(Summary, json.loads(json.dumps(to_json(summary), allow_nan=False))) == summary


def test_the_order_of_trials_does_not_matter() -> None:
    scores = made_scores(gain(0.02))
    first, second = _summary(scores), _summary(scores[::-1])
    assert replace(first, scores=()) == replace(second, scores=())


def test_seconds_count_once_a_trial() -> None:
    scores = made_scores(gain(0.02))
    scores += [replace(score, metric="macro_f1") for score in scores]
    row = _summary(scores).seconds[0]
    assert row == ArmSeconds(arm="mrp", seconds=2.0 * 5 * 2, trials=10)


def test_ensemble_gap() -> None:
    (row,) = _summary(made_scores(gain(0.0)), ensembles={("scratch_same", 10, "test"): 0.9}).ensembles
    assert row.gap == pytest.approx(0.9 - row.mean)
    assert (row.arm, row.budget, row.split, row.n) == ("scratch_same", 10, "test", 5)


def test_the_same_trial_twice_with_two_values_is_an_error() -> None:
    scores = made_scores(gain(0.0))
    with pytest.raises(UserError, match="two values"):
        _summary([*scores, replace(scores[0], value=0.1)])


def test_notes_say_that_the_interval_is_conditional() -> None:
    """With one pretraining the sentence and a note speak of this encoder; with two they do not."""
    one = _summary(made_scores(gain(0.02)))
    assert any("hold for this encoder only" in note for note in one.notes)
    assert ", for this encoder, pretraining helps" in one.verdicts[0].sentence
    assert one.verdicts[0].scope == "for this encoder"
    two = _summary([replace(s, pretraining=None if s.pretraining is None else s.draw % 2) for s in one.scores])
    assert not any("this encoder" in note for note in two.notes)
    assert "this encoder" not in two.verdicts[0].sentence + two.verdicts[0].scope


def test_values_per_image_make_the_intervals_speak_about_test_images() -> None:
    scores = made_scores(gain(0.02), budgets=(10,))
    rng = np.random.default_rng(0)
    images = {
        (arm, 10, "test"): {
            (0 if arm.endswith("mrp") else None, draw): (rng.random(50) < 0.6).astype(float) for draw in range(5)
        }
        for arm in ARMS
    }
    config = CompareConfig(budgets=(10,), arms=ARMS)
    before, after = summarize(config, scores), summarize(config, scores, evidence=Evidence(images=images))
    width, wider = (one.verdicts[0].high - one.verdicts[0].low for one in (before, after))
    assert width < 0.5 * wider
    for rows in (after.verdicts, after.means, after.differences):
        assert "test images" in rows[0].method.split(", for ")[0]
    assert "50 test images" in after.verdicts[0].sentence


def test_a_gain_does_not_depend_on_which_of_two_rivals_was_chosen() -> None:
    """Validation draws prefer a weak arm a little; tuning cannot tell it from the strong one: there is no gain."""

    def value(arm: str, budget: int, draw: int, split: str) -> float:
        weak = arm == "scratch_same" and split == "test"
        return 0.6 - 0.05 * weak + 0.001 * (arm == "scratch_same" and split == "val") + noise(arm, draw)

    scores = made_scores(value)
    assert summarize(CompareConfig(budgets=(10,), arms=ARMS), scores).verdicts[0].verdict != "gain"
    steady = np.tile([1.0, 0.0], (3, 50))
    tuning = {10: {"scratch_same": steady + 0.01 * np.arange(3)[:, None], "scratch_best": np.zeros((3, 100))}}
    alone = summarize(CompareConfig(budgets=(10,), arms=ARMS), scores, evidence=Evidence(tuning=tuning))
    assert (alone.verdicts[0].baseline, alone.verdicts[0].verdict) == ("scratch_same", "gain")
    assert any("cannot tell" in note for note in summarize(CompareConfig(budgets=(10,), arms=ARMS), scores).notes)


def test_the_summary_answers_what_to_do_what_it_is_worth_and_what_to_add() -> None:
    """From tuning draws of the arms; without them there is no recommendation, but the rest."""
    scores = made_scores(lambda arm, budget, draw, split: gain(0.05)(arm, budget, draw, split) + 0.001 * budget)
    bare = _summary(scores)
    assert bare.recommendations == ()
    assert [round(row.times, 1) for row in bare.labels_worth if row.times is not None] == []
    assert "worth more than 5 times the labels" in bare.labels_worth[0].sentence
    mixed = [replace(score, budget="all") if score.budget == 50 else score for score in scores]
    whole = _summary(mixed, (10, "all"))  # type: ignore[arg-type]
    assert "worth more than 10 times the labels" in whole.labels_worth[0].sentence
    assert sum(row.share for row in bare.variance) == pytest.approx(1.0)
    assert bare.advice.startswith("Add label draws: with 10 label draws instead of 5")
    rng = np.random.default_rng(0)
    tuning = {
        10: {
            arm: (rng.random((3, 500)) < level).astype(float)
            for arm, level in {"mrp": 0.8, "probe_mrp": 0.6, "scratch_best": 0.5}.items()
        }
    }
    config = CompareConfig(budgets=(10, 50), arms=ARMS)
    (row,) = summarize(config, scores, evidence=Evidence(tuning=tuning)).recommendations
    assert (row.arm, row.against, row.budget, row.verdict) == ("mrp", "scratch_best", 10, "gain")

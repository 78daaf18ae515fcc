"""The headline: how good the recommended choice is beside a guess, and what would be next."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import tiny
from unmask.comparison.answer import with_answer, without_skill
from unmask.config import ARMS, CompareConfig
from unmask.config.budget import Budget
from unmask.config.metric import TASK_METRICS, Metric
from unmask.data.load import Dataset, load_data
from unmask.evaluate.metrics import classification_metrics
from unmask.inference.evidence import Evidence
from unmask.inference.summary import summarize
from unmask.runs.summary_records import Answer, Score, Summary

ARMS_HERE = ("given", "scratch_best", "scratch_same")


@pytest.fixture(scope="module")
def data() -> Dataset:
    """30 test images of three classes."""
    return load_data(tiny.DATA, labels=True, progress=False)


def _summary(
    gain: float, spread: float, draws: int = 4, *, metric: Metric = "accuracy", budgets: tuple[Budget, ...] = (10, 50)
) -> Summary:
    """The weights given against scratch, without a pretraining of one's own; the second budget is 0.1 better."""
    rng = np.random.default_rng(0)
    scores = [
        Score(
            arm=arm,
            budget=budget,
            draw=draw,
            pretraining=None,
            split=split,
            metric=metric,
            value=0.5 + (gain + spread * (-1) ** draw if arm == "given" else 0.0) + 0.1 * (budget == budgets[1]),
            seconds=60.0,
        )
        for arm in ARMS_HERE
        for budget in budgets
        for draw in range(draws)
        for split in ("val", "test")
    ]
    levels = {"given": 0.9, "scratch_best": 0.5, "scratch_same": 0.3}
    right = {arm: (rng.random((3, 400)) < level).astype(float) for arm, level in levels.items()}
    config = CompareConfig(budgets=budgets, arms=ARMS_HERE, given="weights.safetensors", metric=metric)
    return summarize(config, scores, evidence=Evidence(tuning=dict.fromkeys(budgets, right), metric=metric))


def _answer(summary: Summary, data: Dataset) -> Answer:
    found = with_answer(summary, data, jobs=2).answer
    assert found is not None
    return found


def test_a_decided_answer_says_what_to_do_and_what_more_labels_bring(data: Dataset) -> None:
    """Also without a pretraining; no arm is named."""
    answer = _answer(_summary(0.2, 0.01), data)
    assert answer.sentence.startswith(
        "With 10 labels per class: fine-tune the weights you have. It is 20 points better"
    )
    assert "to train from scratch" in answer.sentence
    assert answer.score == pytest.approx(0.7)
    assert (answer.test_images, answer.chance) == (30, pytest.approx(1 / 3))
    labels = data.tests["test"].labels
    assert answer.majority == float(torch.bincount(labels).max()) / 30
    assert "right on 70.0% of 30 test images; guessing would be right on 33.3%" in answer.context
    assert answer.next_step.startswith("Label about 40 more images per class: with 50 labels per class the same choice")
    assert "80.0%" in answer.next_step
    assert (answer.draws, answer.seconds) == (None, None)
    assert not [name for name in ARMS if "_" in name and name in answer.sentence + answer.context + answer.next_step]


@pytest.mark.case("the headline of a comparison by balanced accuracy told accuracies")
def test_everything_is_said_in_the_metric_that_was_chosen(data: Dataset) -> None:
    """Here no accuracy is even known. More labels are counted as images where a budget is not per class."""
    answer = _answer(_summary(0.2, 0.01, metric="balanced_accuracy", budgets=("total:12", "all")), data)
    assert answer.score == pytest.approx(0.7)
    assert "20 points of balanced accuracy better" in answer.sentence
    assert answer.context.startswith("Its balanced accuracy on 30 test images is 70.0%; guessing scores 33.3%")
    assert answer.next_step.startswith("Label about 48 more images: with all labels the same choice")
    assert answer.next_step.endswith("has a balanced accuracy of 80.0%.")


@pytest.mark.parametrize("metric", TASK_METRICS["classification"])
def test_what_needs_no_skill_scores_as_the_metric_says(metric: Metric) -> None:
    """Guesses of many images, and one class named throughout; a class without images is among the guesses alone."""
    labels = torch.tensor([0] * 6000 + [1] * 3000 + [2] * 1000)
    guesses = torch.eye(4)[torch.randint(4, (len(labels),), generator=torch.Generator().manual_seed(0))]
    guess, frequent = without_skill(labels, 4, metric)
    assert guess == pytest.approx(getattr(classification_metrics(guesses, labels, "abcd"), metric), abs=0.01)
    named = classification_metrics(torch.eye(4)[[0] * len(labels)], labels, "abcd")
    assert frequent == pytest.approx(getattr(named, metric))


def test_an_undecided_answer_says_how_many_draws_would_decide(data: Dataset) -> None:
    """In all, and the time of those that are not done: three arms and two budgets of a minute each, two at once."""
    summary = _summary(0.03, 0.04)
    assert summary.recommendations[0].verdict == "undecided"
    answer = _answer(summary, data)
    needed = summary.recommendations[0].draws_needed
    assert needed is not None
    assert answer.draws == needed > 4
    assert answer.seconds == pytest.approx((needed - 4) * 6 * 60 / 2)
    assert answer.next_step.startswith(f"{needed - 4} more label draws would probably decide it, about")


def test_draws_beyond_reach_are_no_advice_to_continue(data: Dataset) -> None:
    """Four draws are done: up to twenty more are advice, more are told with their time, and no command follows."""
    summary = _summary(0.03, 0.04)
    for needed, continues in ((24, True), (25, False), (900, False)):
        first = replace(summary.recommendations[0], draws_needed=needed)
        answer = _answer(replace(summary, recommendations=(first,)), data)
        assert (answer.draws == needed) == continues == ("would probably decide it" in answer.next_step)
        assert continues or answer.next_step.startswith(f"It would take about {needed - 4} more label draws")
        assert continues == (answer.seconds is not None)


def test_what_no_draws_decide_gets_advice(data: Dataset) -> None:
    summary = _summary(0.03, 0.04)
    first = replace(summary.recommendations[0], draws_needed=None)
    answer = _answer(replace(summary, recommendations=(first,), advice="Add test images."), data)
    assert answer.next_step.startswith("Probably no number of label draws would decide it. Add test images.")
    assert answer.draws is None


def test_where_there_is_no_choice_there_is_no_answer(data: Dataset) -> None:
    assert with_answer(replace(_summary(0.2, 0.01), recommendations=()), data, jobs=1).answer is None

"""The metric that was chosen decides baseline, verdict and words; accuracy does not stand alone."""

from dataclasses import replace

import pytest
import torch

from comparison_scores import ARMS, gain, made_scores, noise
from unmask.config import CompareConfig
from unmask.evaluate.metrics import classification_metrics
from unmask.inference.summary import summarize, summarize_so_far
from unmask.runs.trial_records import TrialResult


def test_the_metric_decides_choice_and_verdict() -> None:
    """By accuracy pretraining gains over one arm, by balanced accuracy it loses to another; the words say of what."""

    def value(arm: str, metric: str, draw: int) -> float:
        levels = {"accuracy": {"mrp": 0.9, "scratch_same": 0.8}, "balanced_accuracy": {"mrp": 0.5, "scratch_best": 0.6}}
        return levels[metric].get(arm, 0.4) + 0.01 * noise(arm, draw)

    plain = made_scores(lambda *_: 0.0, budgets=(10,))
    scores = [
        replace(one, metric=metric, value=value(one.arm, metric, one.draw))
        for one in plain
        for metric in ("accuracy", "balanced_accuracy")
    ]
    found = {}
    for metric in ("accuracy", "balanced_accuracy"):
        config = CompareConfig(budgets=(10,), arms=ARMS, metric=metric)  # type: ignore[arg-type]
        summary = summarize(config, scores)
        assert summary.settings.metric == metric
        found[metric] = summary.verdicts[0]
    assert (found["accuracy"].baseline, found["balanced_accuracy"].baseline) == ("scratch_same", "scratch_best")
    assert found["accuracy"].mean > 0 > found["balanced_accuracy"].mean
    assert "points of balanced accuracy against" in found["balanced_accuracy"].sentence
    assert "points against" in found["accuracy"].sentence


@pytest.mark.parametrize(
    ("metric", "majority", "shown"),
    [
        ("accuracy", 0.3, ("accuracy",)),
        ("accuracy", 0.31, ("accuracy", "balanced_accuracy")),
        ("macro_f1", 0.2, ("macro_f1", "accuracy")),
        ("balanced_accuracy", 0.9, ("balanced_accuracy", "accuracy")),
    ],
)
def test_accuracy_does_not_stand_alone(metric: str, majority: float, shown: tuple[str, ...]) -> None:
    """Where one class is frequent; the chosen metric comes first."""
    summary = summarize(CompareConfig(budgets=(10,), arms=ARMS), made_scores(gain(0.02), budgets=(10,)))
    settings = replace(summary.settings, metric=metric, majority=majority, chance=0.1)  # type: ignore[arg-type]
    assert settings.in_the_open == shown


def test_what_no_skill_scores_is_taken_from_the_trials() -> None:
    """Seven of ten images of one class of two."""
    one = classification_metrics(torch.eye(2)[[0] * 10], torch.tensor([0] * 7 + [1] * 3), "ab")
    keys = {"arm": "mrp", "budget": 10, "draw": 0, "pretraining": 0, "labeled_images": 20, "seconds": 2.0}
    trial = TrialResult(**keys, metrics={"test": one}, history=(), probe_strength=None)  # type: ignore[arg-type]
    summary = summarize_so_far(CompareConfig(budgets=(10,), arms=ARMS), [trial])
    assert (summary.settings.majority, summary.settings.chance) == (0.7, 0.5)
    assert summary.beside_accuracy() == (
        "balanced accuracy: mrp 50.0% (the most frequent class is 70.0% of the images, chance 50.0%)"
    )

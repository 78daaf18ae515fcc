"""A comparison on unequal classes: budgets of every kind, judged by balanced accuracy, shown beside accuracy."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tiny
from unmask.comparison.run import compare
from unmask.config import ClassifyConfig, ClassifyRecipe, CompareConfig, OptimizerConfig
from unmask.data.load import Dataset, load_data
from unmask.results import Comparison
from unmask.runs.layout import NETWORKS, TRIALS
from unmask.runs.read import read_record
from unmask.runs.trial_records import TrialResult
from unmask.stages.classify import scratch


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Three classes with 16, 4 and 4 training images."""
    whole = load_data(tiny.DATA, labels=True, progress=False)
    assert whole.train is not None
    rows = [torch.nonzero(whole.train.labels == label).flatten()[: 16 if label == 0 else 4] for label in range(3)]
    return replace(whole, train=whole.train.select(torch.cat(rows)))


CONFIG = CompareConfig(
    data=tiny.DATA,
    encoder=tiny.OVERLAPPING_PATCHNET,
    finetune=ClassifyRecipe(optimizer=OptimizerConfig(steps=4, batch_size=8, lr=3e-3), class_weights="balanced"),
    budgets=("total:12", 3, "50%", "all"),
    draws=2,
    tuning_draws=1,
    arms=("scratch_same", "probe_random"),
    metric="balanced_accuracy",
    jobs=1,
)


@pytest.mark.slow
def test_a_comparison_with_every_kind_of_budget(data: Dataset, tmp_path: Path) -> None:
    """Labels as they were asked for, the largest budget's networks, words, choices and page."""
    answer = Comparison(compare(CONFIG, tmp_path / "answer", progress=False, dataset=data))
    trials = {file.stem: read_record(TrialResult, file) for file in TRIALS.found(answer.folder)}
    used = {one.budget: one.labeled_images for one in trials.values()}
    assert used == {"total:12": 12, 3: 9, "50%": 12, "all": 24}
    assert {name.split("-")[1] for name in trials} == {"total12", "b3", "50percent", "all"}
    kept = [file.stem for file in NETWORKS.found(answer.folder)]
    assert [name.split("-")[:2] for name in kept] == [["probe_random", "all"], ["scratch_same", "all"]]
    for name in kept:
        rivals = [one for one in trials.values() if one.arm == trials[name].arm and one.budget == "all"]
        best = max(one.metrics["val"].balanced_accuracy for one in rivals)
        assert trials[name].metrics["val"].balanced_accuracy == best
    settings = answer.summary.settings
    assert (settings.metric, settings.primary_budget) == ("balanced_accuracy", "total:12")
    assert settings.majority == pytest.approx(1 / 3)
    page = answer.report.read_text(encoding="utf-8")
    assert "Those of accuracy are for these test images only." in page
    for text in ("Balanced accuracy on", "12 labels in all", "50% of the labels", "all labels", "3 labels per class"):
        assert text in page


def test_scratch_takes_a_share(data: Dataset, tmp_path: Path) -> None:
    """The same budgets for a single training."""
    config = replace(scratch_config(), budget="25%")
    result = Path(scratch(config, tmp_path / "run", progress=False, dataset=data)) / "result.json"
    assert '"labeled_images": 6' in result.read_text(encoding="utf-8")


def scratch_config() -> ClassifyConfig:
    """A training of a few steps."""
    return ClassifyConfig(data=tiny.DATA, encoder=CONFIG.encoder, recipe=CONFIG.finetune)

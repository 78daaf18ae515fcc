"""Labels drawn at random, balanced by class, or chosen by features, side by side in one comparison."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from unmask.comparison.chosen_labels import labeled_rows
from unmask.comparison.plan import Materials, TrialKey, all_trials, choice_file, trial_config
from unmask.comparison.run import compare
from unmask.config import ClassifyConfig, ClassifyRecipe, CompareConfig, OptimizerConfig, from_json, to_json
from unmask.config.budget import labeled_count
from unmask.data.load import Dataset, load_data
from unmask.data.subsets import half_of, nested_subsets
from unmask.errors import UserError
from unmask.inference.evidence import Evidence
from unmask.inference.label_ways import labels_gains
from unmask.inference.table import Table
from unmask.runs.layout import TRIALS
from unmask.runs.read import read_record
from unmask.runs.summary_records import Summary
from unmask.runs.trial_records import ChosenIds, TrialResult
from unmask.stages.classifier import labeled_subset

CONFIG = CompareConfig(
    data=tiny.DATA,
    encoder=tiny.OVERLAPPING_PATCHNET,
    pretrain=tiny.pretrain_recipe(target=tiny.LINEAR_PIXELS, steps=1, batch_size=20),
    finetune=ClassifyRecipe(optimizer=OptimizerConfig(steps=1, batch_size=6)),
    arms=("mrp", "scratch_same"),
    budgets=("total:6",),
    labels=("random", "balanced", "chosen"),
    draws=2,
    tuning_draws=1,
    pretrainings=2,
    given=None,
    keep="none",
    jobs=1,
)
WAYS = ("random:6", "balanced:6", "chosen:6")


@pytest.fixture(scope="module")
def data() -> Dataset:
    """20 training images of each of three classes."""
    return load_data(tiny.DATA, labels=True, progress=False)


@pytest.fixture(scope="module")
def out(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished comparison."""
    return compare(CONFIG, tmp_path_factory.mktemp("ways") / "run", progress=False, dataset=data)


def test_every_total_stands_in_every_way() -> None:
    """Also in a configuration that was written down and read; other budgets have no equal totals."""
    assert CONFIG.budgets == WAYS
    assert from_json(CompareConfig, to_json(CONFIG)) == CONFIG
    assert replace(CONFIG, draws=3).budgets == WAYS
    two = CompareConfig(budgets=("total:6", "total:9"), labels=("chosen", "random"))
    assert two.budgets == ("chosen:6", "random:6", "chosen:9", "random:9")
    with pytest.raises(UserError, match="labels: random chosen need equal totals, but one of the budgets is 10"):
        CompareConfig(labels=("random", "chosen"))
    with pytest.raises(UserError, match="only a comparison chooses labels itself"):
        ClassifyConfig(budget="chosen:6")


def test_images_by_lot_and_balanced_ones() -> None:
    """By lot: so many in all, nested, of other draws apart; balanced: as many of each class as it has."""
    labels = torch.tensor([0] * 40 + [1] * 10 + [2] * 2 + [-1] * 5)
    budgets = ("random:5", "random:10", "balanced:10", "balanced:30")
    draws = [nested_subsets(labels, budgets, 0, index=index) for index in range(4)]
    for drawn in draws:
        assert [len(drawn[one]) for one in budgets] == [5, 10, 10, 30]
        assert set(drawn["random:5"].tolist()) <= set(drawn["random:10"].tolist())
        assert (labels[drawn["random:10"]] >= 0).all()
        assert torch.bincount(labels[drawn["balanced:10"]]).tolist() == [4, 4, 2]
        assert torch.bincount(labels[drawn["balanced:30"]]).tolist() == [18, 10, 2]
    assert len(set(torch.cat([drawn["random:10"] for drawn in draws]).tolist())) == 40
    alone = nested_subsets(labels, ("total:10",), 0)["total:10"]
    assert torch.equal(nested_subsets(labels, ("total:10", "random:5", "chosen:4"), 0)["total:10"], alone)
    with pytest.raises(UserError, match="chosen:27 is out of range: a draw chooses from half of the training images"):
        nested_subsets(labels, ("chosen:27",), 0)


def test_halves_are_halves() -> None:
    """Of the labeled images, another one for each draw, whole groups but for the last."""
    labels, groups = torch.tensor([0, 1] * 30 + [-1] * 9), np.arange(69) // 5
    halves = [half_of(labels, 0, index=index) for index in range(3)]
    assert all(len(half) == 30 and (labels[half] >= 0).all() for half in halves)
    assert len({tuple(half.tolist()) for half in halves}) == 3
    torn = [group for group in np.unique(groups) if 0 < int((groups[half_of(labels, 0, groups)] == group).sum()) < 5]
    assert len(torn) <= 1


@pytest.mark.slow
def test_arms_of_a_draw_get_the_same_images(data: Dataset, out: Path) -> None:
    """Chosen images are those that the draw's pretraining chose from its half; fewer are the first of more."""
    assert data.train is not None
    chosen = []
    for draw in range(2):
        listed = read_record(ChosenIds, choice_file(out, 1 + draw, draw)).ids
        half = half_of(
            data.train.labels, trial_config(CONFIG, _key(draw), 0, _materials(data, out)).subset_seed, None, 1 + draw
        )
        assert len(listed) == 6
        assert set(listed) <= set(data.train.ids[half].tolist())
        for count, arm in itertools.product((4, 6), CONFIG.arms):
            images = labeled_subset(trial_config(CONFIG, _key(draw, count, arm), 0, _materials(data, out)), data)
            assert sorted(images.ids.tolist()) == sorted(listed[:count])
        rows = labeled_rows(CONFIG, data, out, draw)
        assert sorted(data.train.ids[rows["chosen:6"]].tolist()) == sorted(listed[:6])
        chosen.append(listed)
    assert chosen[0] != chosen[1]


def _key(draw: int, count: int = 6, arm: str = "mrp") -> TrialKey:
    return TrialKey(f"chosen:{count}", draw, arm, draw if arm == "mrp" else None)


def _materials(data: Dataset, out: Path) -> Materials:
    runs = {"mrp": [out / "pretrain" / f"seed_{k}" for k in range(2)]}
    return Materials(encoders=runs, seen=20, sizes=data.class_sizes, out=out)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_comparison_says_what_choosing_gave(out: Path) -> None:
    """Every trial has its total; the summary has all questions; the page has them in words; resuming trains nothing."""
    trials = {key: read_record(TrialResult, TRIALS.path(out, key.name)) for key in all_trials(CONFIG)}
    assert len(trials) == 12
    assert all(one.labeled_images == labeled_count(key.budget, [20, 20, 20]) for key, one in trials.items())
    summary = read_record(Summary, out / "summary.json")
    asked = {(one.what, one.arm, one.budget, one.against_arm, one.against_budget) for one in summary.labels_gains}
    assert ("labels", "mrp", "chosen:6", "mrp", "random:6") in asked
    assert ("labels", "scratch_same", "chosen:6", "scratch_same", "balanced:6") in asked
    assert ("pretraining", "mrp", "random:6", "scratch_same", "random:6") in asked
    assert ("both", "mrp", "chosen:6", "scratch_same", "random:6") in asked
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Which images get the labels" in page
    assert "6 labels in all chosen by features" in page
    before = {file: file.stat().st_mtime_ns for folder in ("trials", "chosen") for file in (out / folder).iterdir()}
    compare(CONFIG, out, resume=True, progress=False)
    assert {file: file.stat().st_mtime_ns for file in before} == before


def test_choosing_needs_an_encoder(data: Dataset, tmp_path: Path) -> None:
    """Told in a line, before anything is trained."""
    with pytest.raises(UserError, match="labels: chosen needs a pretrained encoder: add the arm mrp"):
        compare(replace(CONFIG, arms=("scratch_same",)), tmp_path / "run", progress=False, dataset=data)
    assert not (tmp_path / "run").exists()


def _table(gain: float, noise: float) -> Table:
    """Scores of five draws: pretraining is worth 0.10, choosing `gain` for either arm; choosing halves the spread."""
    table: Table = {}
    for arm, base in (("mrp", 0.7), ("scratch_same", 0.6)):
        for way, more, scale in (("random", 0.0, 2 * noise), ("chosen", gain, noise)):
            values = {
                (None if arm != "mrp" else 0, draw): base + more + scale * (-1) ** (draw // (1 + (arm == "mrp")))
                for draw in range(8)
            }
            for split in ("test", "val"):
                table[arm, f"{way}:50", split, "accuracy"] = values
    return table


@pytest.mark.parametrize(("gain", "word"), [(0.05, "gain"), (-0.05, "loss"), (0.0, "equivalent")])
def test_the_rows_are_paired_differences(gain: float, word: str) -> None:
    """By hand, with spreads; the words follow the interval."""
    config = CompareConfig(budgets=("total:50",), labels=("random", "chosen"))
    table = _table(gain, 0.001)
    rows = labels_gains(table, "test", {"random:50": "scratch_same"}, config, Evidence())
    assert [(row.what, row.arm, row.verdict) for row in rows if row.what == "labels"] == [
        ("labels", "mrp", word),
        ("labels", "scratch_same", word),
    ]
    both = next(row for row in rows if row.what == "both")
    assert both.mean == pytest.approx(0.1 + gain, abs=0.003)
    assert both.sd == pytest.approx(np.std(list(table["mrp", "chosen:50", "test", "accuracy"].values()), ddof=1))
    assert both.against_sd is not None
    assert both.against_sd > both.sd
    assert all(row.verdict == "gain" for row in rows if row.what == "pretraining")
    assert labels_gains(table, "test", {}, CompareConfig(budgets=("total:50",)), Evidence()) == []

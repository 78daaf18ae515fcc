"""Runs given with --pretrained count with their own recipe and compute, not with those of the comparison."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import tiny
from unmask.comparison import tasks as comparison_tasks
from unmask.comparison.plan import TrialKey
from unmask.comparison.pretrained_runs import as_pretrained, compute_notes, images_seen
from unmask.comparison.run import compare
from unmask.config import (
    ClassifyConfig,
    ClassifyRecipe,
    CompareConfig,
    MaskConfig,
    OptimizerConfig,
    PretrainConfig,
    PretrainRecipe,
)
from unmask.runs.environment import describe_environment
from unmask.runs.files import read_json, write_json
from unmask.runs.read import write_config
from unmask.runs.records import DataFacts
from unmask.stages.pretrain import pretrain

RECIPE = tiny.pretrain_recipe(mask=MaskConfig(cell=4), target=tiny.LINEAR_PIXELS, epochs=1, batch_size=16)
DATA: Any = SimpleNamespace(fingerprint="ours")


@pytest.fixture
def config() -> CompareConfig:
    """One draw of the two arms that take something from the pretraining besides its weights."""
    return CompareConfig(
        data=tiny.DATA,
        encoder=tiny.OVERLAPPING_PATCHNET,
        pretrain=RECIPE,
        finetune=ClassifyRecipe(optimizer=OptimizerConfig(steps=6, batch_size=8, lr=3e-3)),
        arms=("scratch_masked", "scratch_compute", "mrp"),
        compute_cap=100.0,
        budgets=(3,),
        draws=1,
        tuning_draws=1,
        jobs=1,
    )


def _record(folder: Path, recipe: PretrainRecipe | None = None, **facts: Any) -> Path:
    """What a pretraining run leaves besides its weights."""
    if recipe is not None:
        write_config(folder, PretrainConfig(recipe=recipe))
    write_json(folder / "environment.json", describe_environment(**facts))
    return folder


@pytest.mark.slow
def test_a_given_run_brings_its_cells_and_its_compute(
    config: CompareConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells of 8, five epochs of 120 images: not the cells of 4 and the epoch of 60 images of the comparison's own."""
    own = replace(RECIPE, mask=MaskConfig(cell=8), optimizer=OptimizerConfig(epochs=5, batch_size=24))
    data = tiny.multiview(120)
    run = pretrain(PretrainConfig(data=data, encoder=config.encoder, recipe=own), tmp_path / "run", progress=False)
    facts = read_json(run / "environment.json")
    made: dict[str, ClassifyConfig] = {}
    run_trial = comparison_tasks.run_trial

    def noting(one: ClassifyConfig, key: TrialKey, *others: Any) -> None:
        made[key.arm] = one
        run_trial(one, key, *others)

    monkeypatch.setattr(comparison_tasks, "run_trial", noting)
    folder = compare(replace(config, pretrained=(run,)), tmp_path / "table", progress=False)
    assert made["scratch_masked"].hide_cell == 8
    assert facts["steps"] * facts["batch_size"] == 600
    steps = 6 + 600 // 5  # nine labeled images run as batches of 5
    assert made["scratch_compute"].recipe.optimizer.steps == steps
    notes = read_json(folder / "summary.json")["notes"]
    assert any(f"MRP's whole compute would be {steps} steps" in note for note in notes)
    assert read_json(folder / "config.json")["pretrain"]["mask"]["cell"] == 4  # as it was asked for


def test_of_several_runs_the_first_recipe_and_the_longest_compute_count(config: CompareConfig, tmp_path: Path) -> None:
    """Two recipes: the first counts, and a note names both; the compute is the maximum, and a note says so."""
    known = {"data": DataFacts(fingerprint="ours")}
    first = _record(tmp_path / "a", replace(RECIPE, mask=MaskConfig(cell=8)), steps=10, batch_size=32, **known)
    second = _record(tmp_path / "b", RECIPE, steps=100, batch_size=16, **known)
    found, (note,) = as_pretrained(replace(config, pretrained=(first, second)), DATA)
    assert found.pretrain.mask.cell == 8
    assert str(first) in note
    assert str(second) in note
    assert images_seen(found, 60) == 1600
    assert compute_notes(found) == ["the given runs saw 320 to 1600 images: MRP's compute is that of the longest one"]
    alike = replace(config, pretrained=(first, first), pretrain=found.pretrain)
    assert as_pretrained(alike, DATA)[1] == compute_notes(alike) == []
    (unused,) = as_pretrained(replace(alike, pretrain=RECIPE), DATA)[1]
    assert "has no effect" in unused


def test_what_is_not_recorded_is_said(config: CompareConfig, tmp_path: Path) -> None:
    """Weights without a run count as the comparison's own recipe would, a run of an older version likewise."""
    weights = tmp_path / "encoder.safetensors"
    weights.touch()
    found, notes = as_pretrained(replace(config, pretrained=(weights,)), DATA)
    assert found.pretrain == RECIPE
    assert [
        "not the folder of a pretraining" in notes[0],
        "it is unknown whether it has seen the test images" in notes[1],
    ] == [
        True,
        True,
    ]
    assert images_seen(found, 60) == images_seen(config, 60) == 60
    assert "does not record its steps" in compute_notes(found)[0]
    older = _record(tmp_path / "older", RECIPE, data=DataFacts(fingerprint="theirs"))
    found, (note,) = as_pretrained(replace(config, pretrained=(older,)), DATA)
    assert "other images or another split" in note
    assert images_seen(found, 60) == 60

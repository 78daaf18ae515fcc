"""A pretraining that learned nothing, or was not over, is not passed on without a word."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import tiny
from unmask.comparison.pretrained_runs import learning_notes
from unmask.config import MaskConfig, OptimizerConfig, PretrainConfig
from unmask.data.load import load_data
from unmask.runs.metrics import Row, TrainingRow, ValidationRow, append_metrics
from unmask.runs.read import read_environment
from unmask.stages.pretrain import Pretraining, pretrain
from unmask.stages.pretraining_quality import cells_note, late_share, quality_notes
from unmask.training.plan import plan_steps
from unmask.training.stage import Setup


def _rows(losses: Sequence[float], final: float | None = None) -> list[Row]:
    """A row a step beside a baseline of 1, and the look at the end."""
    look = {"baseline": 1.0, "effective_rank": 9.0, "feature_std": 1.0, "collapsed": False}
    steps: list[Row] = [TrainingRow(step=i + 1, loss=loss, baseline=1.0) for i, loss in enumerate(losses)]
    last = losses[-1] if final is None else final
    return [*steps, ValidationRow(step=len(losses), epoch=1.0, val_loss=last, **look)]


def _curve(shape: Callable[[float], float], steps: int = 200) -> list[float]:
    return [shape((i + 1) / steps) for i in range(steps)]


@pytest.mark.case("40 steps that left the loss at its baseline were compared with scratch without a word")
def test_what_hardly_learned_says_so() -> None:
    """Near the baseline; or most of the gain came late. A curve that has levelled off says nothing."""
    assert quality_notes(_rows(_curve(lambda t: 1 - 0.5 * min(1, 4 * t)))) == []
    (barely,) = quality_notes(_rows(_curve(lambda t: 1 - 0.02 * t)))
    assert "barely beat its baseline" in barely
    assert "98%" in barely
    assert "200 steps" in barely
    (worse,) = quality_notes(_rows([1.4]))
    assert "did not beat its baseline: its loss is 140%" in worse
    assert "after 1 step:" in worse
    (steep,) = quality_notes(_rows(_curve(lambda t: 1 - 0.5 * t)))
    assert "still falling" in steep
    assert quality_notes([]) == quality_notes(_rows([0.5])[:1]) == []
    (judged_on_validation,) = quality_notes(_rows(_curve(lambda t: 0.2), final=0.99))
    assert "99%" in judged_on_validation


def test_the_share_of_the_second_half() -> None:
    """Half of a straight line, nothing of a step at the start, None where nothing was gained."""
    rows = [row for row in _rows(_curve(lambda t: 1 - t)) if isinstance(row, TrainingRow)]
    assert late_share(rows) == pytest.approx(0.5, abs=0.06)
    flat = [replace(row, loss=0.3) for row in rows]
    assert late_share(flat) == pytest.approx(0, abs=1e-9)
    assert late_share([replace(row, loss=2.0) for row in rows]) is None


def test_few_cells_are_noted() -> None:
    """Fewer than 16; the note names what to change."""
    assert cells_note((4, 4)) == []
    assert "3 x 5 cells" in cells_note((3, 5))[0]


def test_notes_reach_the_run_and_its_comparison(tmp_path: Path) -> None:
    """In environment.json, beside those known before; a comparison names the folder."""
    recipe = tiny.pretrain_recipe(mask=MaskConfig(cell=8, mask_ratio=0.5), target=tiny.LINEAR_PIXELS, steps=2, lr=1e-9)
    config = PretrainConfig(data=tiny.DATA, encoder=tiny.PATCHNET, recipe=recipe)
    run = pretrain(config, tmp_path / "run", progress=False)
    facts = read_environment(run)
    assert facts is not None
    assert any("2 x 2 cells" in note for note in facts.notes)
    assert any("beat its baseline" in note for note in facts.notes)
    (tmp_path / "other").mkdir()
    for row in _rows(_curve(lambda t: 1 - 0.5 * t)):
        append_metrics(tmp_path / "other", row)
    notes = learning_notes({"mrp": [run, tmp_path / "other", tmp_path / "nowhere"]})
    assert [note.partition(":")[0].rpartition("/")[2] for note in notes] == ["run", "other"]


@pytest.mark.case("ten epochs of 484 images were 40 steps")
def test_few_images_are_seen_more_often() -> None:
    """At least so many steps, unless epochs or steps are given."""
    usual = OptimizerConfig(batch_size=10, min_epochs=3, min_steps=50)
    assert plan_steps(usual, 40).total == 50
    assert plan_steps(usual, 400).total == 120
    assert plan_steps(replace(usual, epochs=2), 40).total == 8
    assert plan_steps(replace(usual, steps=7), 40).total == 7


def test_many_short_epochs_are_looked_at_a_few_times() -> None:
    """Twenty checkpoints and pictures of 300 epochs; one an epoch where epochs are few; what is asked for counts."""
    data = load_data(tiny.DATA, labels=False, progress=False)

    def phase(**fields: object) -> tuple[float, float]:
        optimizer = {"batch_size": 60, "epochs": fields.pop("epochs", 300)}
        recipe = tiny.pretrain_recipe(target=tiny.LINEAR_PIXELS, **optimizer)
        config = PretrainConfig(data=tiny.DATA, encoder=tiny.PATCHNET, recipe=recipe, **fields)  # type: ignore[arg-type]
        found = Pretraining(config, Path(), data, Setup.alone("no")).phase()
        return found.save_every, found.look_every

    assert phase() == (15, 15)
    assert phase(epochs=20) == (1, 1)
    assert phase(epochs=4000) == (100, 100)
    assert phase(save_every=2.0, picture_every=0.5) == (2, 0.5)

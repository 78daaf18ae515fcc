"""A tracker gets the numbers of metrics.jsonl, no more and no others; without its package, one line says what to do."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from unmask.config import (
    ClassifyConfig,
    ClassifyRecipe,
    DataConfig,
    EncoderConfig,
    MaskConfig,
    OptimiserConfig,
    PretrainConfig,
    PretrainRecipe,
    TargetConfig,
)
from unmask.data.load import Dataset, load_data
from unmask.errors import UserError
from unmask.runs import read_metrics
from unmask.stages.classify import scratch
from unmask.stages.pretrain import pretrain
from unmask.training.tracking import FOLDER, flat

DATA = DataConfig(
    data="multiview",
    options={"images": 24, "val_images": 12, "test_images": 12, "classes": 3, "size": 16, "part_size": 4},
)
NET = EncoderConfig(encoder="patchnet", encoder_options={"width": 8, "patch": 4})
PRETRAINING = PretrainConfig(
    data=DATA,
    encoder=NET,
    recipe=PretrainRecipe(
        mask=MaskConfig(cell=4),
        target=TargetConfig(target="pixels", decoder="linear", decoder_width=8),
        optimiser=OptimiserConfig(steps=3, batch_size=8),
    ),
    tracker="tensorboard",
)
TRAINING = ClassifyConfig(
    data=DATA,
    encoder=NET,
    recipe=ClassifyRecipe(optimiser=OptimiserConfig(steps=4, batch_size=8), head_steps=2, evaluations=2),
    tracker="tensorboard",
)


@pytest.fixture(scope="module")
def data() -> Dataset:
    """24 training images."""
    return load_data(DATA, labels=True, progress=False)


def _events(run: Path) -> EventAccumulator:
    events = EventAccumulator(str(run / FOLDER / "unmask"))
    events.Reload()
    return events


def _series(run: Path, name: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in _events(run).Scalars(name)]


def test_tensorboard_has_the_rows_of_a_pretraining(data: Dataset, tmp_path: Path) -> None:
    """Loss a step and validation loss a look, read back from the event file, equal metrics.jsonl in float32."""
    run = pretrain(PRETRAINING, tmp_path / "run", progress=False, dataset=data)
    rows = read_metrics(run)
    for kind, field in (("train", "loss"), ("val", "val_loss"), ("val", "effective_rank")):
        wanted = [(row["step"], pytest.approx(row[field], rel=1e-6)) for row in rows if row["kind"] == kind]
        assert _series(run, f"{kind}/{field}") == wanted, field
        assert len(wanted) >= 2


def test_tensorboard_has_the_rows_of_a_training(data: Dataset, tmp_path: Path) -> None:
    """The steps of the head come first, then all weights; the numbers are those of metrics.jsonl."""
    run = scratch(TRAINING, tmp_path / "run", progress=False, dataset=data)
    rows = read_metrics(run)
    found = _series(run, "train/loss")
    assert [value for _, value in found] == pytest.approx([row["loss"] for row in rows], rel=1e-6)
    steps = [step for step, _ in found]
    assert steps == sorted(set(steps))
    assert steps[-1] == 2 + 4


def test_the_tracker_does_not_change_the_run(data: Dataset, tmp_path: Path) -> None:
    """metrics.jsonl is the same with and without, to the bit."""
    plain = pretrain(replace(PRETRAINING, tracker=None), tmp_path / "plain", progress=False, dataset=data)
    tracked = pretrain(PRETRAINING, tmp_path / "tracked", progress=False, dataset=data)
    assert read_metrics(plain) == read_metrics(tracked)
    assert not (plain / FOLDER).exists()


@pytest.mark.parametrize("stage", ["pretrain", "scratch"])
def test_a_missing_package_is_said_before_anything_is_done(
    stage: str, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line that names the extra; no folder is made."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    begin: Any = pretrain if stage == "pretrain" else scratch
    config: Any = replace(PRETRAINING if stage == "pretrain" else TRAINING, tracker="wandb")
    with pytest.raises(UserError, match=r"tracker: wandb is not installed: pip install 'unmask\[wandb\]'"):
        begin(config, tmp_path / "run", progress=False, dataset=data)
    assert not (tmp_path / "run").exists()


def test_settings_are_flat() -> None:
    """What trackers take: one level, scalars and text."""
    nested: dict[str, Any] = {"a": {"b": 1, "c": {"d": [1, 2]}}, "e": None, "f": True}
    assert flat(nested) == {"a.b": 1, "a.c.d": "[1, 2]", "e": "None", "f": True}

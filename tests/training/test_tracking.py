"""A tracker gets the numbers of metrics.jsonl, no more and no others; without its package, one line says what to do."""

import importlib
import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from accelerate import Accelerator
from accelerate.tracking import TensorBoardTracker
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import tiny
from unmask.config import ClassifyConfig, ClassifyRecipe, MaskConfig, OptimizerConfig, PretrainConfig
from unmask.data.load import Dataset, load_data
from unmask.errors import UserError
from unmask.runs.layout import TRACKERS
from unmask.runs.metrics import read_metrics
from unmask.stages.classify import scratch
from unmask.stages.pretrain import pretrain
from unmask.training.tracking import flat, require_tracker

DATA = tiny.multiview(24, 12, 12)
PRETRAINING = PretrainConfig(
    data=DATA,
    encoder=tiny.PATCHNET,
    recipe=tiny.pretrain_recipe(mask=MaskConfig(cell=4), target=tiny.LINEAR_PIXELS, steps=3, batch_size=8),
    tracker="tensorboard",
)
TRAINING = ClassifyConfig(
    data=DATA,
    encoder=tiny.PATCHNET,
    recipe=ClassifyRecipe(optimizer=OptimizerConfig(steps=4, batch_size=8), head_steps=2, evaluations=2),
    tracker="tensorboard",
)


@pytest.fixture(scope="module")
def data() -> Dataset:
    """24 training images."""
    return load_data(DATA, labels=True, progress=False)


def _events(run: Path) -> EventAccumulator:
    events = EventAccumulator(str(run / TRACKERS / "unmask"))
    events.Reload()
    return events


def _series(run: Path, name: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in _events(run).Scalars(name)]


def test_tensorboard_has_the_rows_of_a_pretraining(data: Dataset, tmp_path: Path) -> None:
    """Loss a step and validation loss a look, read back from the event file, equal metrics.jsonl in float32."""
    run = pretrain(PRETRAINING, tmp_path / "run", progress=False, dataset=data)
    rows = read_metrics(run)
    for kind, field in (("train", "loss"), ("val", "val_loss"), ("val", "effective_rank")):
        wanted = [(row.step, pytest.approx(getattr(row, field), rel=1e-6)) for row in rows if row.kind == kind]
        assert _series(run, f"{kind}/{field}") == wanted, field
        assert len(wanted) >= 2


def test_tensorboard_has_the_rows_of_a_training(data: Dataset, tmp_path: Path) -> None:
    """The steps of the head come first, then all weights; the numbers are those of metrics.jsonl."""
    run = scratch(TRAINING, tmp_path / "run", progress=False, dataset=data)
    rows = read_metrics(run)
    found = _series(run, "train/loss")
    assert [value for _, value in found] == pytest.approx([row.loss for row in rows], rel=1e-6)
    steps = [step for step, _ in found]
    assert steps == sorted(set(steps))
    assert steps[-1] == 2 + 4


def test_the_tracker_does_not_change_the_run(data: Dataset, tmp_path: Path) -> None:
    """metrics.jsonl is the same with and without, to the bit."""
    plain = pretrain(replace(PRETRAINING, tracker=None), tmp_path / "plain", progress=False, dataset=data)
    tracked = pretrain(PRETRAINING, tmp_path / "tracked", progress=False, dataset=data)
    assert read_metrics(plain) == read_metrics(tracked)
    assert not (plain / TRACKERS).exists()


def test_a_tracker_that_does_not_start_is_said_in_one_line(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No account, no network: nothing is trained, and the same command without it goes on."""
    monkeypatch.setattr(Accelerator, "init_trackers", _fail)
    with pytest.raises(UserError, match=r"^tracker: tensorboard does not start: no account; .*`resume=True`$"):
        pretrain(PRETRAINING, tmp_path / "run", progress=False, dataset=data)
    assert read_metrics(tmp_path / "run") == []
    plain = pretrain(replace(PRETRAINING, tracker=None), tmp_path / "run", progress=False, dataset=data, resume=True)
    assert len(read_metrics(plain)) == 5


@pytest.mark.parametrize("broken", ["log", "finish"])
def test_a_tracker_that_fails_later_does_not_end_the_run(
    broken: str, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says so, and metrics.jsonl is whole."""
    monkeypatch.setattr(TensorBoardTracker, broken, _fail)
    run = pretrain(PRETRAINING, tmp_path / "run", progress=False, dataset=data)
    assert [row.step for row in read_metrics(run)] == [0, 1, 2, 3, 3]
    said = capsys.readouterr().err.splitlines()
    wanted = "tensorboard fails at step 0" if broken == "log" else "tensorboard did not close cleanly"
    assert [line for line in said if line.startswith("tracker: ")] == [said[-1]]
    assert wanted in said[-1]


def test_a_folder_of_that_name_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """wandb leaves a folder wandb behind, which Python would take for a package without content."""
    name = "trackio" if importlib.util.find_spec("trackio") is None else "mlflow"
    (tmp_path / name).mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    with pytest.raises(UserError, match=f"tracker: {name} is not installed"):
        require_tracker(name)


def _fail(*_: object, **__: object) -> None:
    raise RuntimeError("no account\nand a second line")


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

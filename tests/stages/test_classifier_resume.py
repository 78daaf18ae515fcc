"""Fine-tuning that is stopped anywhere goes on to the bits of one never stopped."""

import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from unmask.config import ClassifyConfig
from unmask.data.load import Dataset, load_data
from unmask.errors import PreemptionError, UserError
from unmask.runs.files import read_json
from unmask.runs.metrics import read_metrics
from unmask.runs.read import read_record
from unmask.runs.records import ClassificationResult
from unmask.stages.classify import finetune, scratch
from unmask.stages.supervised import Supervised, fit
from unmask.training.checkpoint import load_tensors
from unmask.training.engine import build_engine
from unmask.training.stage import Setup
from unmask.training.step import OnStep, Step

HEAD_STEPS = 4
STEPS = HEAD_STEPS + 60  # of the head, then of everything


def _config(training: ClassifyConfig, with_optimizer: Any) -> ClassifyConfig:
    """Averaged weights, early stopping, mixup: everything that has a state."""
    recipe = replace(training.recipe, evaluations=6, patience=4, mixup=0.2)
    config = replace(training, recipe=recipe, save_steps=7)
    return with_optimizer(config, steps=STEPS - HEAD_STEPS, ema=0.8)


def _same(a: Path, b: Path) -> None:
    one, two = load_tensors(a / "encoder.safetensors")[0], load_tensors(b / "encoder.safetensors")[0]
    assert one.keys() == two.keys()
    assert all(torch.equal(tensor, two[name]) for name, tensor in one.items())
    assert read_metrics(a) == read_metrics(b)
    results = [read_json(folder / "result.json") for folder in (a, b)]
    assert results[0].pop("seconds") > 0
    assert results[1].pop("seconds") > 0
    assert results[0] == results[1]


@pytest.fixture(scope="module")
def stops() -> list[int]:
    """A step in the head's phase, its end, and two anywhere."""
    return [2, 4, *sorted(random.Random(0).sample(range(5, STEPS), 2))]


def _at(number: int, act: Callable[[], None]) -> OnStep:
    """Act after a step, counted over both phases."""

    def on_step(step: Step) -> None:
        if step.step + (HEAD_STEPS if step.phase == "all" else 0) == number:
            act()

    return on_step


def _kill() -> None:
    raise KeyboardInterrupt


def _terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.case("teacher, averages or BatchNorm statistics were lost on resuming")
def test_killed_anywhere_it_ends_bit_equal(
    training: ClassifyConfig, data: Dataset, tmp_path: Path, with_optimizer: Any, stops: list[int]
) -> None:
    """Fine-tuned from given weights: head phase, moments, average, best state, history, early stopping."""
    from unmask.stages.classifier import build_classifier
    from unmask.weights.card import Card, save_weights

    start = build_classifier(training, data).state_dict()
    save_weights(tmp_path / "w.safetensors", start, Card(training.encoder, data.format))
    config = replace(_config(training, with_optimizer), init=str(tmp_path / "w.safetensors"), seed=3)
    whole = finetune(config, tmp_path / "whole", progress=False, dataset=data)
    for at in stops:
        part = tmp_path / f"part{at}"
        with pytest.raises(KeyboardInterrupt):
            finetune(config, part, progress=False, dataset=data, on_step=_at(at, _kill))
        _same(whole, finetune(config, part, resume=True, progress=False, dataset=data))


@pytest.mark.slow
def test_sigterm_saves_and_says_how_to_go_on(
    training: ClassifyConfig, data: Dataset, tmp_path: Path, with_optimizer: Any
) -> None:
    """The step then finished is saved, whatever save_steps says; the run ends bit-equal."""
    config = replace(_config(training, with_optimizer), save_steps=10_000)
    whole = scratch(config, tmp_path / "whole", progress=False, dataset=data)
    with pytest.raises(PreemptionError, match="saved at step 21; continue with `resume=True`"):
        scratch(config, tmp_path / "part", progress=False, dataset=data, on_step=_at(20, _terminate))
    saved = sorted(p.name for p in (tmp_path / "part" / "checkpoints").iterdir())
    assert saved == ["step_00000004.safetensors", "step_00000021.safetensors"]  # the end of the head's phase, and now
    _same(whole, scratch(config, tmp_path / "part", resume=True, progress=False, dataset=data))


@pytest.mark.slow
def test_a_folder_changes_no_bit(training: ClassifyConfig, data: Dataset, tmp_path: Path, with_optimizer: Any) -> None:
    """Saving does not touch the training; and without a folder SIGTERM still ends it between two steps."""
    config = _config(training, with_optimizer)
    run = scratch(replace(config, save_steps=1), tmp_path / "run", progress=False, dataset=data)
    assert read_record(ClassificationResult, run / "result.json").metrics == fit(config, data).metrics
    with pytest.raises(PreemptionError):
        fit(config, data, setup=Setup(build_engine("no"), on_step=_at(3, _terminate)))


def test_without_a_score_training_continues_where_it_was_stopped(training: ClassifyConfig, tmp_path: Path) -> None:
    """R² of equal numbers is undefined: early stopping waits for none, says so, and its checkpoints are readable."""
    source = tiny.labeled_source("regression")
    source.labels[source.splits == "val"] = 1.0
    data = load_data(training.data, labels=True, progress=False, given=source)
    recipe = replace(training.recipe, head_steps=0, evaluations=6, patience=1)
    config = replace(training, recipe=recipe, metric="r2", budget=None, save_steps=1)
    reached = []
    for name, act in (("whole", lambda: None), ("part", _kill)):
        with suppress(KeyboardInterrupt):
            scratch(config, tmp_path / name, progress=False, dataset=data, on_step=_at(HEAD_STEPS + 8, act))
    run = scratch(
        config,
        tmp_path / "part",
        resume=True,
        progress=False,
        dataset=data,
        on_step=lambda step: reached.append(step.step),
    )
    assert reached == [9, 10, 11, 12]
    _same(tmp_path / "whole", run)
    (note,) = read_record(ClassificationResult, run / "result.json").notes[-1:]
    assert note.startswith("`patience=1` had no effect")


def test_patience_without_validation_images_says_so(training: ClassifyConfig, data: Dataset) -> None:
    """Nothing tells when to stop."""
    config = replace(training, recipe=replace(training.recipe, evaluations=3, patience=1))
    notes = fit(config, replace(data, val=None)).notes
    assert "`patience=1` has no effect: there are no validation images" in notes


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
def test_numbers_cannot_be_smoothed(training: ClassifyConfig, smoothing: float) -> None:
    """A setting that is not the default says that it does nothing."""
    data = load_data(training.data, labels=True, progress=False, given=tiny.labeled_source("regression"))
    recipe = replace(training.recipe, label_smoothing=smoothing)
    told = Supervised(replace(training, recipe=recipe, budget=None), data, Setup.alone("no")).notes
    assert ("`label_smoothing=0.3` has no effect: numbers have no classes" in told) == (smoothing == 0.3)


def test_changed_data_stop_a_resume(training: ClassifyConfig, data: Dataset, tmp_path: Path) -> None:
    """The fingerprint is named."""
    run = scratch(training, tmp_path / "run", progress=False, dataset=data)
    (run / "result.json").unlink()
    with pytest.raises(UserError, match="fingerprint"):
        scratch(training, run, resume=True, progress=False, dataset=replace(data, fingerprint="other"))


def test_a_training_that_had_stopped_early_has_ended(
    training: ClassifyConfig, data: Dataset, tmp_path: Path, with_optimizer: Any
) -> None:
    """Killed after its last checkpoint and before its result it is evaluated, and no step is added."""
    recipe = replace(training.recipe, evaluations=10, patience=1)
    config = with_optimizer(replace(training, recipe=recipe, save_steps=1), steps=20, lr=1e-12)
    for name in ("whole", "part"):
        scratch(config, tmp_path / name, progress=False, dataset=data)
    assert read_metrics(tmp_path / "whole")[-1].step < 20
    (tmp_path / "part" / "result.json").unlink()
    _same(tmp_path / "whole", scratch(config, tmp_path / "part", resume=True, progress=False, dataset=data))

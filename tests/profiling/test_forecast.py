"""What pretrain, finetune and scratch say before they begin: from steps of the very training, which leave no trace."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import tiny
import unmask
from unmask.cli.main import main
from unmask.config import ClassifyConfig, ClassifyRecipe, OptimizerConfig, PretrainConfig, RecipeChoice
from unmask.data.load import Dataset, load_data
from unmask.profiling import forecast as forecasts
from unmask.profiling.forecast import Forecast, forecast_training, seconds_of_training
from unmask.profiling.step_times import StepTimes
from unmask.training.step import Step

PRETRAINING = PretrainConfig(
    data=tiny.DATA,
    encoder=tiny.OVERLAPPING_PATCHNET,
    recipe=tiny.pretrain_recipe(target=tiny.LINEAR_PIXELS, steps=10, batch_size=20),
    chosen=RecipeChoice(recipe_name="small-cnn", because="its images are small"),
)
TRAINING = ClassifyConfig(
    data=tiny.DATA,
    encoder=tiny.OVERLAPPING_PATCHNET,
    recipe=ClassifyRecipe(optimizer=OptimizerConfig(steps=6, batch_size=8, lr=3e-3), head_steps=2, evaluations=3),
    budget=3,
)
TIMES = StepTimes(pretraining=1.0, training=0.1, head=0.01, inference=0.001, held_mib=4000.0, training_mib=96.0)


@pytest.fixture(scope="module")
def data() -> Dataset:
    """60 training images, 30 of validation, 30 of the test set."""
    return load_data(tiny.DATA, labels=True, progress=False)


def test_a_training_takes_its_steps_and_its_looks(data: Dataset) -> None:
    """Two phases, two looks at validation images before the end, then all that is evaluated; a batch holds five."""
    evaluated = 2 * 30 + 30 + sum(map(len, data.tests.values()))
    expected = 5 * (6 * 0.1 + 2 * 0.01) + evaluated * 0.001
    assert seconds_of_training(TRAINING, data, TIMES) == pytest.approx(expected)
    assert seconds_of_training(PRETRAINING, data, TIMES) == 10 * 20


def test_the_plan_of_a_training(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts, measured steps, memory, and what half of the steps take."""
    monkeypatch.setattr(forecasts, "measure_steps", lambda *_, **__: replace(TIMES, pretraining=0.0))
    plan = forecast_training(TRAINING, data)
    assert plan.trainings == {"head steps": 2, "steps": 6, "of them done": 0}
    assert plan.step_seconds == {"step": 0.5, "evaluation of an image": 0.001}
    assert plan.peak_mib >= 4096
    assert plan.seconds == round(seconds_of_training(TRAINING, data, TIMES), 1)
    (half,) = plan.shorter
    assert half.setting == "steps=3"
    assert half.seconds == pytest.approx(plan.seconds - 5 * 3 * 0.1, abs=0.11)
    assert "2 head steps, 6 steps" in plan.lines()[0]


@pytest.mark.parametrize("kind", ["pretrain", "finetune", "scratch"])
def test_the_plan_is_json_and_leaves_nothing(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Measured for true, with the recipe and its reason; no run folder."""
    monkeypatch.chdir(tmp_path)
    words = [kind, "--data", "digits", "--out", "run", "--plan", "--steps", "9", "--encoder", "patchnet"]
    words += ["--encoder-options", '{"width": 8, "patch": 4}']
    if kind == "finetune":
        words += ["--init", "weights.safetensors"]
        with pytest.raises(SystemExit) as end:
            main(words)
        assert "weights.safetensors" in capsys.readouterr().err  # what is wrong is said before anything is timed
        return
    with pytest.raises(SystemExit) as end:
        main(words)
    assert not end.value.code
    plan = json.loads(capsys.readouterr().out)
    assert (plan["recipe"], plan["encoder"], plan["image_size"]) == ("small-cnn", "patchnet", [32, 32])
    assert plan["trainings"]["steps"] == 9
    assert plan["step_seconds"]["step"] > 0
    assert plan["seconds"] > 0
    assert plan["peak_mib"] > 100
    assert plan["reason"]
    assert list(tmp_path.iterdir()) == []


def test_a_long_training_is_not_begun_without_a_yes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody can answer here: one line that says what is shorter."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(forecasts, "measure_steps", lambda *_, **__: replace(TIMES, pretraining=1e4))
    words = ["pretrain", "--data", "multiview", "--options", json.dumps(dict(tiny.DATA.options or {})), "--out", "run"]
    words += ["--steps", "2", "--encoder", "patchnet", "--encoder-options", '{"width": 8, "patch": 4}']
    with pytest.raises(SystemExit) as end:
        main(words)
    said = capsys.readouterr().err.splitlines()
    assert end.value.code == 2
    assert "start it with --yes; shorter: --steps 1" in said[-1]
    assert any(line.startswith("plan: patchnet at 16x16 on ") and line.endswith(": 2 steps") for line in said)
    assert sum("recipe multiview" in line for line in said) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.case("a resumed run was said to take as long as a new one")
def test_steps_that_are_done_do_not_count(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to the checkpoint that a resumed run goes on from; what replaces a run begins anew."""
    monkeypatch.setattr(forecasts, "measure_steps", lambda *_, **__: TIMES)
    config, plans = replace(PRETRAINING, save_every=1 / 3), list[Forecast]()

    def stop(step: Step) -> None:
        if step.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unmask.pretrain(config, tmp_path, progress=False, dataset=data, on_step=stop)
    for flags in ({"resume": True}, {"overwrite": True}):
        unmask.pretrain(config, tmp_path, progress=False, dataset=data, approve=plans.append, **flags)
    done = plans[0].trainings["of them done"]
    assert 0 < done <= 5
    assert (plans[0].seconds, plans[1].seconds) == (200.0 * (10 - done) / 10, 200.0)

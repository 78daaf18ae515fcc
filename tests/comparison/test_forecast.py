"""What a comparison is said to take before it begins: from its own tasks, and steps that leave no trace."""

import json
import socket
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
import unmask
from unmask.cli.main import main
from unmask.comparison import forecast as forecasts
from unmask.comparison import run as comparison_run
from unmask.comparison.forecast import Ahead, answers_of, forecast, seconds_of
from unmask.comparison.pieces import Task, config_of
from unmask.comparison.step_timing import time_steps
from unmask.comparison.tasks import Work
from unmask.comparison.timed_draws import HOUR, LEAST
from unmask.config import ClassifyConfig, ClassifyRecipe, CompareConfig, OptimizerConfig
from unmask.config.cluster import ClusterConfig
from unmask.config.comparison import DEFAULT_DRAWS
from unmask.data.load import Dataset, load_data
from unmask.profiling.forecast import Forecast, Shorter, device_name
from unmask.profiling.step_times import StepTimes
from unmask.stages.supervised import fit
from unmask.wording import in_words

RECIPE = ClassifyRecipe(optimizer=OptimizerConfig(steps=6, batch_size=8, lr=3e-3), head_steps=2)
CONFIG = CompareConfig(
    data=tiny.DATA,
    encoder=tiny.OVERLAPPING_PATCHNET,
    pretrain=tiny.pretrain_recipe(target=tiny.LINEAR_PIXELS, steps=10, batch_size=20),
    finetune=RECIPE,
    budgets=(3, 5),
    draws=2,
    pretrainings=1,
    arms=("mrp", "scratch_same", "probe_random"),
    keep="none",
    jobs=1,
)
TIMES = StepTimes(pretraining=1.0, training=0.1, head=0.01, inference=0.001, probe=0.0001)


@pytest.fixture(scope="module")
def data() -> Dataset:
    """60 training images, 30 of validation, 30 of the test set."""
    return load_data(tiny.DATA, labels=True, progress=False)


def _work(data: Dataset, out: Path, **changes: object) -> Work:
    return Work(replace(CONFIG, **changes), out, data)


def test_a_task_takes_its_steps(data: Dataset, tmp_path: Path) -> None:
    """A pretraining its batches; a training its two phases and its looks; a probe its images, once."""
    ahead = Ahead.of(_work(data, tmp_path))
    assert [seconds_of(task, TIMES, data) for task in ahead.pretrainings] == [10 * 20 * 1.0]
    names = [task[1][1].name for task in ahead.trials]
    seconds = dict(zip(names, (seconds_of(task, TIMES, data) for task in ahead.trials), strict=True))
    looked_at = sum(map(len, data.tests.values())) + 30
    batch = 5  # of nine labeled images: two near equal batches
    assert seconds["scratch_same-b3-d0"] == pytest.approx(batch * (6 * 0.1 + 2 * 0.01) + looked_at * 0.001)
    assert seconds["probe_random-b3-d0"] == pytest.approx((9 + looked_at + 60) * 0.001 + 9 * 0.0001)


def test_the_whole_follows_from_the_tasks(data: Dataset, tmp_path: Path) -> None:
    """One job: their sum. Two share it. Twice the steps are twice the seconds. What is done does not count."""
    ahead = Ahead.of(_work(data, tmp_path))
    each = [seconds_of(task, TIMES, data) for task in (*ahead.pretrainings, *ahead.tuning, *ahead.trials)]
    assert ahead.seconds(TIMES, data, 1) == pytest.approx(sum(each))
    assert sum(each) / 2 < ahead.seconds(TIMES, data, 2) < sum(each) + forecasts.START
    twice = replace(CONFIG.pretrain, optimizer=replace(CONFIG.pretrain.optimizer, steps=20))
    longer = Ahead.of(_work(data, tmp_path, pretrain=twice)).seconds(TIMES, data, 1)
    assert longer == pytest.approx(sum(each) + 200)
    for name in ("scratch_same-b3-d0", "probe_random-b5-d1"):
        (tmp_path / "trials").mkdir(exist_ok=True)
        (tmp_path / "trials" / f"{name}.json").touch()
    assert len(Ahead.of(_work(data, tmp_path)).trials) == len(ahead.trials) - 2


def test_many_workers_are_as_fast_as_the_longest_chain(data: Dataset, tmp_path: Path) -> None:
    """A pretraining, the two rounds of tuning behind it, and a trial; processes share a pretraining."""
    config = replace(CONFIG, arms=("mrp", "scratch_same", "scratch_best"), scratch_schedules=("6", "8"), tuning_draws=2)
    work = replace(Work(config, tmp_path, data), pretrains_in_workers=True)
    ahead = Ahead.of(work)
    assert ahead.following

    def longest(tasks: list[Task]) -> float:
        return max(seconds_of(task, TIMES, data) for task in tasks)

    pretraining = longest(ahead.pretrainings)
    first = longest(ahead.tuning[: -len(ahead.following)])
    chain = pretraining + first + longest(ahead.following) + longest(ahead.trials)
    assert ahead.seconds(TIMES, data, 10_000) == pytest.approx(forecasts.START + chain)
    spread = replace(work, config=replace(config, pretrain_processes=4))
    faster = Ahead.of(spread).seconds(TIMES, data, 10_000)
    assert faster == pytest.approx(forecasts.START + chain - 3 / 4 * pretraining)
    there = replace(work, config=replace(config, cluster=ClusterConfig(on="dask:tcp://a:1")))
    assert forecast(there, 8, TIMES).device.startswith("the workers of dask:tcp://a:1 (times measured here, on ")


@pytest.mark.case("numbers changed because something had been measured before")
def test_a_forecast_changes_no_number_and_leaves_no_file(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same training before and after, every random state and the threads as they were."""
    monkeypatch.chdir(tmp_path)
    training = ClassifyConfig(data=tiny.DATA, encoder=CONFIG.encoder, recipe=RECIPE, budget=3)
    before = fit(training, data).outputs["test"]
    states = torch.get_rng_state(), np.random.mtrand._rand.get_state()[1].tolist(), torch.get_num_threads()
    assert time_steps(_work(data, tmp_path / "out"), 1).training > 0
    assert torch.equal(states[0], torch.get_rng_state())
    assert (states[1], states[2]) == (np.random.mtrand._rand.get_state()[1].tolist(), torch.get_num_threads())
    assert torch.equal(before, fit(training, data).outputs["test"])
    assert list(tmp_path.iterdir()) == []


def test_the_audit_is_part_of_the_plan(data: Dataset, tmp_path: Path) -> None:
    """One network of an arm and draw, and a random one, each asked about every test image; none once it is there."""
    work = _work(data, tmp_path, audit=True)
    plain, ahead = Ahead.of(_work(data, tmp_path)), Ahead.of(work)
    assert (plain.audited, ahead.audited) == (0, 2 * 2 + 1)  # mrp and scratch_same, of two draws
    times = replace(TIMES, audited=0.5)
    more = ahead.seconds(times, data, 1) - plain.seconds(times, data, 1)
    assert more == pytest.approx(5 * answers_of(data) * 0.5)
    assert answers_of(data) == 30 * 256
    assert forecast(work, 1, times).trainings["networks to audit"] == 5
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "audit.json").touch()
    fewer = replace(work, config=replace(work.config, draws=1))
    assert Ahead.of(fewer).audited == 3  # trials are ahead, so it is looked at again
    assert not work.needs_audit(again=False)
    assert time_steps(work, 1).audited > 0


def test_steps_are_timed_on_a_worker(data: Dataset, tmp_path: Path) -> None:
    """But for those of the audit, which is done here; where there is none, all are timed here. The plan says where."""
    work, tried = _work(data, tmp_path, audit=True, cluster=ClusterConfig(on="dask:tcp://a:1")), list[Task]()

    def try_out(task: Task, data: Dataset) -> StepTimes:
        tried.append(task)
        (function, arguments) = task
        found = function(*arguments, data)
        assert isinstance(found, StepTimes)
        return found

    there = time_steps(work, 2, try_out)
    assert len(tried) == 1
    assert config_of(tried[0]) is None  # or it would count as a training, with a folder
    assert min(there.pretraining, there.training, there.head, there.inference, there.probe, there.audited) > 0
    assert there.on == f"{socket.gethostname()}: {device_name()}"
    said = forecast(work, 2, there).device
    assert said == f"the workers of dask:tcp://a:1 (times measured on one of them, {there.on})"
    here = time_steps(work, 2, lambda task, data: None)
    assert here.on == ""
    assert here.training > 0
    assert list(tmp_path.iterdir()) == []


FORECAST = Forecast(
    recipe="small-cnn",
    reason="x",
    encoder="patchnet",
    image_size=(16, 16),
    device="the CPU",
    jobs=2,
    trainings={"pretrainings": 1, "tuning trials": 0, "trials": 12},
    step_seconds={"pretraining step": 0.5},
    seconds=3 * 3600.0,
    peak_mib=2048,
    shorter=(Shorter(setting="draws=2", seconds=3600.0),),
)


def test_a_plan_is_three_lines_and_says_what_is_shorter_only_where_it_is_long() -> None:
    """Recipe, counts, time and memory; how much a flag saves."""
    first, *said = FORECAST.lines()
    assert first == "plan: recipe small-cnn: x"
    assert "1 pretrainings, 12 trials" in said[0]
    assert "about 3.0 h, up to 2.0 GiB" in said[1]
    assert said[2] == "plan: with `draws=2` about 60 min"
    assert len(replace(FORECAST, seconds=7000.0).lines()) == 3
    assert [in_words(t) for t in (0.2, 80, 100, 5300, 6000)] == [
        "about 1 s", "about 80 s", "about 2 min", "about 88 min", "about 1.7 h",
    ]  # fmt: skip


WORDS = ["compare", "--data", "digits", "--out", "x"]


@pytest.mark.slow
def test_the_plan_of_an_hour_counts_every_baseline_that_may_be_left(data: Dataset, tmp_path: Path) -> None:
    """Nine draws where they fit, else an hour, or what five take; with rivals every scratch arm is trained."""
    arms = replace(CONFIG, draws=None, arms=(), compute_cap=4.0)
    work = Work(arms, tmp_path, data)
    of = {draws: Work(replace(arms, draws=draws), tmp_path, data) for draws in (LEAST, DEFAULT_DRAWS)}
    fast = StepTimes(pretraining=1e-6, training=1e-6, head=1e-6, inference=1e-6, probe=1e-6)
    slow = StepTimes(pretraining=30.0, training=30.0, head=30.0, inference=0.0, probe=0.0)
    for times, draws in ((fast, DEFAULT_DRAWS), (slow, LEAST)):
        found = forecast(work, 1, times)
        assert found.seconds_with_rivals is not None
        assert found.seconds == pytest.approx(forecast(of[draws], 1, times).seconds)
        assert found.seconds_with_rivals == pytest.approx(forecast(of[draws], 1, times).seconds_with_rivals)
    assert found.seconds_with_rivals > 1.1 * found.seconds > HOUR
    assert "confirmed against several baselines" in found.lines()[-1 - len(found.shorter)]
    whole = forecast(of[DEFAULT_DRAWS], 1, slow).seconds
    share = 1.05 * HOUR / whole
    medium = replace(slow, training=share * slow.training, pretraining=share * slow.pretraining, head=share * slow.head)
    assert forecast(work, 1, medium).seconds == pytest.approx(HOUR)


@pytest.mark.parametrize(
    ("more", "answer", "begun"),
    [([], None, False), ([], "n\n", False), ([], "y\n", True), (["--yes"], None, True), (["--quiet"], None, False)],
)
def test_what_takes_long_is_begun_by_a_yes_alone(
    more: list[str],
    answer: str | None,
    begun: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A terminal is asked, anything else is refused in one line; nothing is written before."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(comparison_run, "time_steps", lambda work, jobs, try_out: TIMES)
    monkeypatch.setattr(comparison_run, "forecast", lambda work, jobs, times: FORECAST)
    monkeypatch.setattr(comparison_run, "live_page", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    typed = StringIO(answer or "")
    monkeypatch.setattr(typed, "isatty", lambda: answer is not None, raising=False)
    monkeypatch.setattr(sys, "stdin", typed)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: answer is not None, raising=False)
    with pytest.raises(SystemExit) as end:
        main([*WORDS, *more])
    assert end.value.code == (130 if begun else 2)
    assert (tmp_path / "x").exists() == begun
    said = capsys.readouterr().err
    if answer is None and not begun:
        assert "about 3.0 h: start it with --yes; shorter: --draws 2 (about 60 min)" in said.splitlines()[-1]
    if answer is not None:
        assert "plan: with --draws 2 about 60 min" in said
    if "--quiet" in more:
        assert len(said.splitlines()) == 1


@pytest.mark.slow
def test_the_plan_is_json_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All that it names is there; no run folder."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["compare", "--data", "digits", "--budgets", "5", "--draws", "2", "--plan"])
    assert not end.value.code
    plan = json.loads(capsys.readouterr().out)
    assert (plan["recipe"], plan["encoder"], plan["image_size"]) == ("small-cnn", "resnet10t", [32, 32])
    assert plan["seconds"] > 0
    assert plan["peak_mib"] > 100
    assert plan["trainings"]["trials"] > 0
    assert {"device", "reason", "step_seconds", "shorter"} <= set(plan)
    assert list(tmp_path.iterdir()) == []
    assert unmask.forecast is not None

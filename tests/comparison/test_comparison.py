"""The comparison: paired by construction, resumable a trial at a time, the same numbers whatever the jobs."""

import json
import multiprocessing
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unmask.comparison import tasks as comparison_tasks
from unmask.comparison.pieces import Task
from unmask.comparison.plan import (
    TrialKey,
    all_trials,
)
from unmask.comparison.run import compare
from unmask.comparison.workers import meanwhile, run_tasks
from unmask.config import CompareConfig, DataConfig, EncoderConfig
from unmask.errors import PreemptionError, UserError
from unmask.preemption import stopping_at_once
from unmask.runs.files import read_json, write_json
from unmask.runs.layout import COMPARISON, foreign_files
from unmask.runs.read import read_record
from unmask.runs.summary_records import Summary


@pytest.mark.slow
def test_an_interrupt_drops_what_waits(tmp_path: Path) -> None:
    """A caller that stops after the first of eight tasks does not wait for the rest."""
    tasks = [(_touch, (tmp_path / str(index),)) for index in range(8)]
    for _ in run_tasks(tasks, None, jobs=2):
        break
    assert len(list(tmp_path.iterdir())) < 8


@pytest.mark.slow
def test_side_work_fills_the_time_and_no_more(tmp_path: Path) -> None:
    """While the body runs tasks are done; at its end what waits is dropped; a failed task is raised."""
    tasks = [(_touch, (tmp_path / str(index),)) for index in range(40)]
    with meanwhile(tasks, None, 1):
        while not (tmp_path / "1").exists():
            time.sleep(0.05)
    done = {path.name for path in tmp_path.iterdir()}
    assert {"0", "1"} <= done
    assert len(done) <= 6  # the one that ran and, of a pool of one, what was already handed to it
    with pytest.raises(FileNotFoundError), meanwhile([(_touch, (tmp_path / "no" / "folder",))], None, 1):
        time.sleep(4)


@pytest.mark.slow
@pytest.mark.parametrize("aside", [False, True])
def test_sigterm_ends_the_workers(tmp_path: Path, aside: bool) -> None:
    """Work that would take minutes is left at once: a scheduler does not wait."""
    tasks = [(_work_long, (tmp_path / str(index),)) for index in range(2)]
    started = time.monotonic()
    threading.Thread(target=_wait_and_terminate, args=(tmp_path,)).start()
    with pytest.raises(PreemptionError), stopping_at_once():
        _sit_by(tasks) if aside else list(run_tasks(tasks, None, jobs=2))
    assert time.monotonic() - started < 240
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_a_killed_worker_is_one_clear_line(tmp_path: Path) -> None:
    """As where memory runs out: no traceback, and the way to go on."""
    with pytest.raises(UserError, match=r"fewer `jobs` or a smaller batch.*`resume=True`"):
        list(run_tasks([(_die, ()), (_die, ())], None, jobs=2))


def _die(data: None) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _work_long(path: Path, data: None) -> None:
    path.touch()
    time.sleep(300)


def _wait_and_terminate(folder: Path) -> None:
    """SIGTERM for this process once work has begun."""
    while not list(folder.iterdir()):
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)


def _sit_by(tasks: list[Task]) -> None:
    with meanwhile(tasks, None, 2):
        time.sleep(300)


def _touch(path: Path, data: None) -> None:
    time.sleep(0.3)
    path.touch()


@pytest.mark.slow
def test_whole_comparison_and_resume(config: CompareConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped after some trials and resumed, nothing finished is trained again and the summary is the same."""
    whole = compare(config, tmp_path / "whole", progress=False)
    trained: list[str] = []
    run_trial = comparison_tasks.run_trial

    def stopping(one: object, key: TrialKey, *others: object) -> None:
        if len(trained) == 5:
            raise KeyboardInterrupt
        trained.append(key.name)
        run_trial(one, key, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(comparison_tasks, "run_trial", stopping)
    with pytest.raises(KeyboardInterrupt):
        compare(config, tmp_path / "part", progress=False)
    first = list(trained)
    monkeypatch.setattr(comparison_tasks, "run_trial", lambda *a: (trained.append(a[1].name), run_trial(*a))[1])
    part = compare(config, tmp_path / "part", resume=True, progress=False)
    assert len(first) == 5
    assert sorted(trained) == sorted({key.name for key in all_trials(config)})
    one, two = (read_record(Summary, folder / "summary.json") for folder in (whole, part))

    def without_seconds(summary: Summary) -> Summary:
        scores = tuple(replace(score, seconds=0.0) for score in summary.scores)
        assert summary.answer is not None
        answer = replace(summary.answer, next_step="", seconds=None)  # how long more draws take
        return replace(summary, scores=scores, seconds=(), wall_seconds=None, answer=answer)

    assert without_seconds(one) == without_seconds(two)
    assert foreign_files(part, COMPARISON) == []
    assert [pattern for pattern in COMPARISON.files if not list(part.glob(pattern))] == []
    trial = next((part / "trials").glob("*.json"))
    before = trial.read_text()
    trial.write_text("{}")
    with pytest.raises(UserError, match=f"^{trial}: the field 'arm' is missing"):
        compare(config, part, resume=True, progress=False)
    trial.write_text(before)
    assert (part / "report.html").stat().st_size > 10_000
    _check_interval(one)


@pytest.mark.slow
def test_seconds_of_interrupted_sessions_add_up(
    config: CompareConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session stopped before any summary counts, and so does one after the summary."""
    small = replace(config, budgets=(3,), draws=1, arms=("probe_random",))

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(comparison_tasks, "run_trial", stop)
        with pytest.raises(KeyboardInterrupt):
            compare(small, tmp_path, progress=False)
    assert not (tmp_path / "summary.json").exists()
    first = read_json(tmp_path / "wall.json")["wall_seconds"]
    assert first > 0
    write_json(tmp_path / "wall.json", {"wall_seconds": 1000 + first})
    totals = [1000 + first]
    for _ in range(2):
        compare(small, tmp_path, resume=True, progress=False)
        totals.append(read_json(tmp_path / "summary.json")["wall_seconds"])
    assert totals == sorted(set(totals))


def _check_interval(summary: Summary) -> None:
    """One difference is the mean of the pairs of its scores, over draws and the values per test image."""

    def values(arm: str) -> dict[int, float]:
        place = (arm, 3, "test", "accuracy")
        return {c.draw: c.value for c in summary.scores if (c.arm, c.budget, c.split, c.metric) == place}

    mine, theirs = values("mrp"), values("scratch_same")
    place = ("mrp", "scratch_same", 3, "test", "accuracy")
    (row,) = (d for d in summary.differences if (d.arm, d.baseline, d.budget, d.split, d.metric) == place)
    assert (row.n, row.mean) == (2, pytest.approx(np.mean([mine[s] - theirs[s] for s in mine])))
    assert "over label draws and test images" in row.method


@pytest.mark.slow
def test_jobs_do_not_change_the_numbers(config: CompareConfig, tmp_path: Path) -> None:
    """Two worker processes give the bits of none."""
    small = replace(config, budgets=(3,), arms=("mrp", "scratch_same", "probe_random"))
    one = compare(small, tmp_path / "one", progress=False)
    two = compare(replace(small, jobs=2), tmp_path / "two", progress=False)
    for key in all_trials(small):
        a, b = (read_json(folder / "trials" / f"{key.name}.json") for folder in (one, two))
        assert json.dumps(a["metrics"]) == json.dumps(b["metrics"]), key.name


@pytest.mark.slow
def test_existing_runs_are_used(config: CompareConfig, tmp_path: Path) -> None:
    """--pretrained takes finished runs; another encoder's run is refused before any training."""
    small = replace(config, budgets=(3,), draws=1, arms=("mrp",))
    first = compare(small, tmp_path / "first", progress=False)
    run = first / "pretrain" / "seed_0"
    again = compare(replace(small, pretrained=(run,)), tmp_path / "again", progress=False)
    assert not (again / "pretrain").exists()
    key = all_trials(small)[0]
    a, b = (read_json(folder / "trials" / f"{key.name}.json") for folder in (first, again))
    assert a["metrics"] == b["metrics"]
    assert not any("other images" in note for note in read_json(again / "summary.json")["notes"])
    split = replace(small.data, options={**(small.data.options or {}), "seed": 3})
    moved = compare(replace(small, data=split, pretrained=(run,)), tmp_path / "moved", progress=False)
    assert any("other images or another split" in note for note in read_json(moved / "summary.json")["notes"])
    other = replace(small, encoder=EncoderConfig(encoder="patchnet", encoder_options={"width": 4}), pretrained=(run,))
    with pytest.raises(UserError, match="give the same encoder"):
        compare(other, tmp_path / "other", progress=False)
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_given_weights_have_their_arms(config: CompareConfig, tmp_path: Path) -> None:
    """The practitioner's alternative: weights from elsewhere, fine-tuned, and pretrained further."""
    small = replace(config, budgets=(3,), draws=1, arms=("mrp",))
    run = compare(small, tmp_path / "first", progress=False) / "pretrain" / "seed_0"
    given = replace(small, arms=("given", "given_mrp", "scratch_same"), given=str(run / "encoder.safetensors"))
    folder = compare(given, tmp_path / "given", progress=False)
    arms = {score["arm"] for score in read_json(folder / "summary.json")["scores"]}
    assert arms == {"given", "given_mrp", "scratch_same"}


@pytest.mark.slow
def test_an_audit_may_come_later(config: CompareConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--resume --audit trains again the networks that it looks at, to the same numbers, and no other cell."""
    small = replace(config, budgets=(3,), arms=("mrp", "scratch_best", "scratch_compute", "probe_mrp"))
    folder = compare(small, tmp_path / "run", progress=False)
    before = {file.name: read_json(file)["metrics"] for file in (folder / "trials").glob("*.json")}
    best = {file.stem for file in (folder / "networks").iterdir()}
    trained: list[str] = []
    run_trial = comparison_tasks.run_trial
    monkeypatch.setattr(comparison_tasks, "run_trial", lambda *a: (trained.append(a[1].name), run_trial(*a))[1])
    audited = replace(small, audit=True)
    compare(audited, folder, resume=True, progress=False)
    looked_at = {"mrp-b3-d0-p0", "mrp-b3-d1-p0", "scratch_best-b3-d0", "scratch_best-b3-d1"}
    assert set(trained) == looked_at - best
    assert {file.stem for file in (folder / "networks").iterdir()} == looked_at | best
    assert {file.name: read_json(file)["metrics"] for file in (folder / "trials").glob("*.json")} == before
    report = read_json(folder / "audit" / "audit.json")
    assert list(report["models"]) == ["mrp", "scratch_best", "random weights"]
    for number in range(2):
        draw = report["models"]["mrp"]["arms"]["draws"][number]
        trial = read_json(folder / "trials" / f"mrp-b3-d{number}-p0.json")["metrics"]
        assert draw["accuracy on part 2 alone"] == pytest.approx(trial["single_2"]["accuracy"], abs=0.2)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "run: its networks" in page
    assert page.count("<h1") == 1
    written = (folder / "audit" / "audit.json").stat().st_mtime_ns
    compare(audited, folder, resume=True, progress=False)
    assert len(trained) == 2
    assert (folder / "audit" / "audit.json").stat().st_mtime_ns == written


def test_what_cannot_work_fails_first(config: CompareConfig, tmp_path: Path) -> None:
    """Budgets beyond the labels, unlabeled data, a missing weights file: before any folder is made."""
    np.savez(tmp_path / "one.npz", images=np.zeros((12, 8, 8), np.uint8), labels=[0, 1] * 6, groups=[0, 1] * 6)
    one_group = tmp_path / "one.npz"
    unlabeled = tmp_path / "images"
    unlabeled.mkdir()
    for change, text in (
        ({"budgets": (1000,)}, "1000"),
        ({"given": str(tmp_path / "none.safetensors"), "arms": ("given",)}, "none.safetensors"),
        ({"data": DataConfig(data=str(unlabeled))}, "images"),
        ({"data": DataConfig(data=str(one_group))}, r"has no validation and no test images; a comparison needs"),
        ({"pretrained": (tmp_path / "nowhere",)}, "nowhere"),
        ({"audit": True, "arms": ("probe_mrp", "scratch_compute")}, "leaves a network to audit"),
    ):
        with pytest.raises(UserError, match=text):
            compare(replace(config, **change), tmp_path / "run", progress=False)  # type: ignore[arg-type]
        assert not (tmp_path / "run").exists()

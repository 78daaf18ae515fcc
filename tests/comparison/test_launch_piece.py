"""A pretraining over several processes inside a comparison: what it trains, and how it stops and fails."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

import tiny
from unmask.comparison.launch_piece import _follow, launch_piece
from unmask.comparison.pieces import Task, fitting
from unmask.comparison.tasks import Work, run_pretraining
from unmask.comparison.workers import LocalProcesses
from unmask.config import CompareConfig, PretrainConfig
from unmask.config.cluster import ClusterConfig
from unmask.data.load import load_data
from unmask.data.shared_file import DataFile, write_shared
from unmask.errors import PreemptionError, UserError
from unmask.preemption import stopping_at_once
from unmask.runs.files import read_json
from unmask.training.checkpoint import load_tensors

CONFIG = tiny.comparison(
    pretrain=tiny.pretrain_recipe(target=tiny.LINEAR_PIXELS, steps=40, batch_size=16), arms=("mrp", "scratch_same")
)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_a_pretraining_over_two_processes(tmp_path: Path) -> None:
    """Asked to stop it ends after a step, saved; run again it goes on, to what one process trains up to rounding."""
    data = load_data(tiny.DATA, labels=True, progress=False)
    alone, folder = tmp_path / "one", tmp_path / "two" / "pretrain" / "seed_0"
    config = Work(CONFIG, folder.parent.parent, data).pretrainings()[0][1][0]
    run_pretraining(config, alone / "pretrain" / "seed_0", data)
    task, metrics = (run_pretraining, (config, folder)), folder / "metrics.jsonl"
    file = write_shared(data, tmp_path / "data.tmp")
    with pytest.raises(PreemptionError, match=r"stopped by SIGTERM, saved at step \d+"):
        launch_piece(task, file, 2, lambda: metrics.exists() and metrics.read_text().count("\n") > 2)
    assert not (folder / "encoder.safetensors").exists()
    place = LocalProcesses(2, (), 2)
    assert place.pretrains_in_workers
    assert list(place.run([task], data)) == [(0, None)]
    assert read_json(folder / "environment.json")["processes"] == 2
    expected, found = (load_tensors(run)[0] for run in sorted(tmp_path.rglob("encoder.safetensors")))
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=2e-3, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}")
    assert {path.name for path in folder.parent.parent.iterdir()} == {"pretrain", "work"}


def _launcher(path: Path, script: str) -> str:
    """A program in place of torchrun."""
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)
    return str(path)


PRETRAINING: Task = (run_pretraining, (PretrainConfig(), Path("pretrain/seed_0")))


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("torchrun: noise\nunmask 2: no such thing\nmore noise", "^no such thing$"),
        (
            "Signal 9 received by PID 1",
            r"^pretraining seed_0: one of its 2 processes was killed.*continue with `resume=True`",
        ),
    ],
)
def test_what_a_process_says_is_told(said: str, heard: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its line, not the launcher's account of it."""
    monkeypatch.setattr(sys, "executable", _launcher(tmp_path / "python", f"printf '{said}' >&2; exit 1"))
    with pytest.raises(UserError, match=heard):
        launch_piece(PRETRAINING, DataFile("nowhere", 0, "", None), 2, lambda: False)


def test_sigterm_reaches_the_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those at work end by it; what waits for their GPUs is not begun. Each has GPUs of its own."""
    script = f"""cd {tmp_path}; echo $CUDA_VISIBLE_DEVICES >began.$$
trap 'touch ended.$$; exit 143' TERM
while true; do sleep 0.02; done"""
    monkeypatch.setattr(sys, "executable", _launcher(tmp_path / "python", script))
    tasks: list[Task] = [(run_pretraining, (PretrainConfig(), tmp_path / "pretrain" / str(i))) for i in range(3)]

    def terminate() -> None:
        while len([file for file in tmp_path.glob("began.*") if file.read_text()]) < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=terminate).start()
    with stopping_at_once(), pytest.raises(PreemptionError):
        list(LocalProcesses(4, ("0", "1", "2", "3"), 2).run(tasks, load_data(tiny.DATA, labels=True, progress=False)))
    assert sorted(file.read_text() for file in tmp_path.glob("began.*")) == ["0,1\n", "2,3\n"]
    assert len(list(tmp_path.glob("ended.*"))) == 2
    assert not list(tmp_path.glob(".*.tmp"))


@pytest.mark.parametrize("leaving", [True, False])
def test_a_launcher_that_sigterm_has_ended_before(leaving: bool) -> None:
    """Where this process is asked to end, too, that is a stop and not a process that was killed."""
    launcher = subprocess.Popen(["sleep", "60"], stdin=subprocess.PIPE)
    launcher.terminate()
    launcher.wait()
    assert _follow(launcher, lambda: leaving) is leaving


def test_wide_pieces_beside_narrow_ones() -> None:
    """As many as there is room for, in their order; a wide one that waits is passed only where it loses nothing."""

    def chosen(widths: list[int], busy: list[int], room: int) -> list[int]:
        return fitting(range(len(widths)), widths.__getitem__, busy, room)

    assert chosen([1] * 5, [1, 1], 4) == [0, 1]
    assert chosen([4, 4, 4, 1, 1], [], 8) == [0, 1]
    assert chosen([4, 4, 1, 1, 1], [], 6) == [0, 2, 3]
    assert chosen([4, 1], [4, 1, 1], 6) == []
    assert chosen([4, 1], [1, 1], 4) == []
    assert chosen([4, 1], [], 2) == [0]


def test_more_processes_than_there_are() -> None:
    """One line, before any work: cores, GPUs, or the cores of a job."""
    with pytest.raises(UserError, match=r"pretrain_processes = 3: this machine has 2 processes at a time \(`jobs`\)"):
        LocalProcesses(2, (), 3)
    with pytest.raises(UserError, match=r"pretrain_processes = 3: this machine has 2 GPUs"):
        LocalProcesses(8, ("0", "1"), 3)
    with pytest.raises(UserError, match=r"pretrain_processes = 8: a job has 4 cores; give `job_cores=8`"):
        CompareConfig(pretrain_processes=8, cluster=ClusterConfig(on="slurm"))
    with pytest.raises(UserError, match=r"pretrain_processes = 0"):
        CompareConfig(pretrain_processes=0)

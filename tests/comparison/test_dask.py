"""A comparison on a Dask cluster: the same table, whatever happens to workers and scheduler."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tiny
from unmask.comparison.dask_workers import DaskWorkers, mixed_notes, open_dask
from unmask.comparison.run import compare
from unmask.comparison.worker_side import WorkerFacts
from unmask.config import ClassifyRecipe, OptimizerConfig
from unmask.config.cluster import ClusterConfig
from unmask.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore")  # of Dask's own about ports, and sockets that it closes late

RECIPE = ClassifyRecipe(optimizer=OptimizerConfig(steps=3, batch_size=8, lr=3e-3), head_steps=1)
CONFIG = tiny.comparison(
    finetune=RECIPE,
    pretrainings=2,
    arms=("mrp", "scratch_same", "probe_mrp"),
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A scheduler and two worker processes of one thread on this machine."""
    from distributed import LocalCluster

    kinds = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    scratch = str(tmp_path_factory.mktemp("dask"))
    with LocalCluster(**kinds, local_directory=scratch, silence_logs=50) as cluster:
        yield cluster


def on(cluster: Any) -> ClusterConfig:
    """The place as `--on` names it."""
    return ClusterConfig(on=f"dask:{cluster.scheduler_address}")


def table(out: Path) -> dict[str, Any]:
    """What a comparison has found, without seconds."""
    files = {path.relative_to(out).as_posix(): path for kind in ("trials", "tuning") for path in (out / kind).iterdir()}
    found: dict[str, Any] = {}
    for name, path in files.items():
        found[name] = path.read_bytes()
        if path.suffix == ".json":
            found[name] = {key: value for key, value in json.loads(path.read_text()).items() if key != "seconds"}
    found["encoders"] = [path.read_bytes() for path in sorted(out.glob("**/encoder.safetensors"))]
    return found


@pytest.mark.slow
def test_the_table_of_two_workers_is_the_local_one(cluster: Any, tmp_path: Path) -> None:
    """Bit for bit, outputs and encoders included; nothing else lies in the folder afterwards; a second time nothing is
    trained."""
    here = compare(replace(CONFIG, jobs=1), tmp_path / "here", progress=False)
    there = compare(replace(CONFIG, cluster=on(cluster)), tmp_path / "there", progress=False)
    assert table(there) == table(here)
    assert len(table(here)["encoders"]) == 2
    assert {path.name for path in here.iterdir()} == {path.name for path in there.iterdir()}
    before = {path: path.stat().st_mtime_ns for path in there.glob("trials/*")}
    compare(replace(CONFIG, cluster=on(cluster)), there, progress=False, resume=True)
    assert {path: path.stat().st_mtime_ns for path in there.glob("trials/*")} == before


def _write(file: Path, data: Any) -> None:
    file.write_text(str(len(data.readable)))


def _fail(counts: Path, data: Any) -> None:
    (counts / str(time.monotonic_ns())).touch()
    raise OSError(28, "No space left on device")


def _die_once(mark: Path, data: Any) -> None:
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def _sleep(mark: Path, data: Any) -> None:
    mark.touch()
    time.sleep(60)


def place(cluster: Any, out: Path) -> Any:
    """The workers of a cluster, for a folder that exists."""
    out.mkdir(exist_ok=True)
    return open_dask(cluster.scheduler_address, out)


DATA = tiny.load_data(tiny.DATA, labels=True, progress=False)


@pytest.mark.slow
def test_a_piece_that_always_fails(cluster: Any, tmp_path: Path) -> None:
    """It is begun three times, the others are done, and one line has the worker's message."""
    counts = tmp_path / "counts"
    counts.mkdir()
    tasks = [(_fail, (counts,)), *((_write, (tmp_path / str(i),)) for i in range(4))]
    with place(cluster, tmp_path / "out") as there, pytest.raises(UserError) as told:
        list(there.run(tasks, DATA))
    assert len(list(counts.iterdir())) == 3
    assert [(tmp_path / str(i)).read_text() for i in range(4)] == ["120"] * 4
    assert socket.gethostname() in str(told.value)
    assert "No space left on device" in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.slow
def test_a_killed_worker(cluster: Any, tmp_path: Path) -> None:
    """Its piece is done by another process, and nobody is told."""
    with place(cluster, tmp_path / "out") as there:
        tasks = [(_die_once, (tmp_path / "mark",)), (_write, (tmp_path / "0",))]
        assert sorted(there.run(tasks, DATA)) == [(0, None), (1, None)]
    assert (tmp_path / "mark").exists()


@pytest.mark.slow
def test_a_scheduler_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says so, and how to go on."""
    monkeypatch.setattr("unmask.comparison.dask_workers._CONNECT", 1.0)
    file, mark = tmp_path / "address", tmp_path / "mark"
    with started("scheduler", "--port", "0", "--no-dashboard", file=file) as scheduler:
        address = _address(file)
        threading.Thread(target=_kill_when, args=(scheduler, mark), daemon=True).start()
        options = ("--nthreads", "1", "--no-nanny", "--death-timeout", "2")
        lost = pytest.raises(UserError, match=r"connection to the scheduler was lost")
        with started("worker", *options, file=file), open_dask(address, tmp_path) as there, lost:
            list(there.run([(_write, (tmp_path / "0",)), (_sleep, (mark,))], DATA))
    assert (tmp_path / "0").exists()


def _kill_when(process: subprocess.Popen[bytes], mark: Path) -> None:
    while not mark.exists():
        time.sleep(0.05)
    process.kill()


@contextmanager
def started(kind: str, *words: str, file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A scheduler or a worker as a process of its own, killed at the end; the scheduler's address lies in a file."""
    command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--scheduler-file", str(file), *words]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=file.parent)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _address(file: Path) -> str:
    """The scheduler's, once it has written it."""
    for _ in range(600):
        if file.exists() and file.read_text():
            return str(json.loads(file.read_text())["address"])
        time.sleep(0.05)
    raise TimeoutError(file)


def test_what_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A scheduler that is not there, or an address that is none: one line each, before anything is read."""
    monkeypatch.setattr("unmask.comparison.dask_workers._CONNECT", 0.3)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for address in (f"tcp://127.0.0.1:{port}", "nowhere://1"):
        config = replace(CONFIG, cluster=ClusterConfig(on=f"dask:{address}"))
        with pytest.raises(UserError, match=r"no Dask scheduler answers there"):
            compare(config, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_workers_that_will_not_do(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other versions, no shared folder, several threads: refused before work."""
    with place(cluster, tmp_path / "out") as there:
        monkeypatch.setattr("unmask.comparison.dask_workers._ALIKE", ("unmask",))
        own = replace(there.facts[next(iter(there.facts))], packages=(("unmask", "0.0.1"),))
        monkeypatch.setattr("unmask.comparison.dask_workers.describe_worker", lambda: own)
        monkeypatch.setattr(DaskWorkers, "_ask", lambda *_: {"tcp://w": replace(own, packages=(("unmask", "9"),))})
        with pytest.raises(UserError, match=r"tcp://w has unmask 9, the client 0\.0\.1: install the same"):
            there.check()
        with pytest.raises(UserError, match=r"tcp://w does not see this folder"):
            _check_twice(there, own, monkeypatch)
        monkeypatch.setattr(there.client, "nthreads", lambda: {"tcp://w": 8})
        with pytest.raises(UserError, match=r"has 8 threads: start it with --nthreads 1"):
            there.check()


def _check_twice(there: DaskWorkers, own: WorkerFacts, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([{"tcp://w": own}, {"tcp://w": False}])
    monkeypatch.setattr(DaskWorkers, "_ask", lambda *_: next(answers))
    there.check()


def test_a_mixed_cluster_is_told() -> None:
    """Types of processors, and packages that are not refused; workers alike say nothing."""
    one = WorkerFacts("a", "host", "Xeon", "3.11", (("numpy", "2.0"), ("torch", "2.9")))
    assert mixed_notes([one, replace(one, address="b")]) == []
    other = replace(one, processor="EPYC", packages=(("numpy", "2.1"), ("torch", "2.9")))
    processors, packages = mixed_notes([one, other])
    assert "2 types of processors (EPYC, Xeon)" in processors
    assert "numpy 2.0 and 2.1" in packages


@pytest.mark.slow
def test_a_thousand_empty_pieces(cluster: Any, tmp_path: Path) -> None:
    """In a minute at most: 50 ms of scheduling each would take 25 s on two workers."""
    started = time.monotonic()
    with place(cluster, tmp_path / "out") as there:
        assert len(list(there.run([(_nothing, ())] * 1000, DATA))) == 1000
    assert time.monotonic() - started < 60


def _nothing(data: Any) -> None:
    """An empty piece."""

"""Workers whose time ends in the middle of a piece: nothing is lost, and nothing begins anew that was saved."""

import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from distributed import Client, LocalCluster
from distributed.core import Status

import tiny
from unmask.comparison.dask_workers import open_dask
from unmask.comparison.leaving_workers import is_leaving, stops_at, worker_plugin
from unmask.comparison.pieces import Task, file_of
from unmask.comparison.tasks import Work, run_pretraining
from unmask.config import PretrainConfig
from unmask.errors import PreemptionError, UserError
from unmask.preemption import noticing
from warm_dask import address_here, two_workers, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of Dask's own about ports, and sockets that it closes late
]
DATA = tiny.load_data(tiny.DATA, labels=True, progress=False)
CONFIG = tiny.comparison(
    arms=("mrp", "scratch_same"),
    pretrain=tiny.pretrain_recipe(target=tiny.LINEAR_PIXELS, steps=100, batch_size=16),
)


def retire(cluster: LocalCluster, client: Client, worker: str) -> None:
    """As at the end of its lifetime."""
    client.retire_workers([worker])


def terminate(cluster: LocalCluster, client: Client, worker: str) -> None:
    """SIGTERM to its process alone."""
    os.kill(client.run(os.getpid, workers=[worker])[worker], signal.SIGTERM)


def close_nanny(cluster: LocalCluster, client: Client, worker: str) -> None:
    """What `dask worker` does at SIGTERM to the parent of the process that works."""
    nanny = next(one for one in cluster.workers.values() if one.worker_address == worker)
    cluster.sync(nanny.close, timeout=10, reason="signal-15")


def terminate_all(cluster: LocalCluster, client: Client, worker: str) -> None:
    """SIGTERM to both, as schedulers of jobs send it."""
    terminate(cluster, client, worker)
    close_nanny(cluster, client, worker)


def _pretrain(config: PretrainConfig, folder: Path, marks: Path, data: Any) -> None:
    """A pretraining that says which steps were done where."""
    mark = marks / address_here().rpartition(":")[2]
    with mark.open("a") as stream:

        def note(at: Any) -> None:
            stream.write(f"{at.step}\n")
            stream.flush()

        run_pretraining(config, folder, data, on_step=note)


def leave_once_begun(cluster: LocalCluster, marks: Path, leave: Callable[[LocalCluster, Client, str], None]) -> Thread:
    """The worker that has begun the piece leaves after its third step."""

    def watch() -> None:
        wait_for(lambda: any(mark.read_text().count("\n") > 2 for mark in marks.iterdir()))
        with Client(cluster.scheduler_address, set_as_default=False) as client:
            (busy,) = (worker for worker, calls in client.processing().items() if calls)
            leave(cluster, client, busy)

    thread = Thread(target=watch, daemon=True)
    thread.start()
    return thread


def pretraining(out: Path, marks: Path) -> Task:
    """The first one of a comparison."""
    marks.mkdir()
    _, (config, folder) = Work(CONFIG, out, DATA, pretrains_in_workers=True).pretrainings()[0]
    return _pretrain, (replace(config, save_every=1000.0), folder, marks)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The encoder of a pretraining that nobody has stopped."""
    folder = tmp_path_factory.mktemp("whole") / "out/pretrain/seed_0"
    _, (config, _) = Work(CONFIG, folder, DATA, pretrains_in_workers=True).pretrainings()[0]
    run_pretraining(config, folder, DATA)
    return (folder / "encoder.safetensors").read_bytes()


@pytest.mark.parametrize("leave", [retire, terminate, close_nanny])
def test_a_pretraining_goes_on_elsewhere(leave: Any, tmp_path: Path, whole: bytes) -> None:
    """After the step at which its worker has saved, to the bits of one that was never stopped."""
    check(leave, tmp_path, tmp_path / "out", whole)


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="no path that is another one in every process")
def test_without_a_shared_folder(tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has saved reaches the client before the worker leaves."""
    monkeypatch.chdir(tmp_path)
    check(terminate_all, tmp_path, Path("/proc/self/cwd/far"), whole)


def check(leave: Any, tmp_path: Path, out: Path, whole: bytes) -> None:
    """Let one of two workers leave; where and from which step the piece goes on, and to which end."""
    marks = tmp_path / "marks"
    task = pretraining(out, marks)
    out.mkdir()
    with two_workers(tmp_path / "dask") as cluster, open_dask(cluster.scheduler_address, out) as place:
        thread = leave_once_begun(cluster, marks, leave)
        assert [index for index, _ in place.run([task], DATA)] == [0]
        thread.join()
    first, second = sorted([list(map(int, mark.read_text().split())) for mark in marks.iterdir()])
    assert first[-1] < 100
    assert first == list(range(1, first[-1] + 1))
    assert second == list(range(first[-1] + 2, 101))  # the step between is saved, and not announced
    file = file_of(task)
    assert file is not None
    assert file.read_bytes() == whole


def _save_slowly(folder: Path, data: Any) -> None:
    """Wait for the request to stop, and take two seconds to save; the second time there is nothing to do."""
    begun = folder / "begun"
    if begun.exists():
        return
    with noticing() as stopped:
        begun.touch()
        wait_for(stopped)
    time.sleep(2)
    (folder / "saved").touch()
    raise PreemptionError("stopped")


def test_a_nanny_waits_for_a_slow_save(tmp_path: Path) -> None:
    """SIGTERM to the parent of a worker alone: it passes it on, and does not kill what still saves after the second
    that Dask would wait."""
    with two_workers(tmp_path / "dask") as cluster, open_dask(cluster.scheduler_address, None) as place:

        def close() -> None:
            wait_for((tmp_path / "begun").exists)
            with Client(cluster.scheduler_address, set_as_default=False) as client:
                (busy,) = (worker for worker, calls in client.processing().items() if calls)
                nanny = next(one for one in cluster.workers.values() if one.worker_address == busy)
                cluster.sync(nanny.close, timeout=1, reason="signal-15")

        thread = Thread(target=close, daemon=True)
        thread.start()
        assert [index for index, _ in place.run([(_save_slowly, (tmp_path,))])] == [0]
        thread.join()
    assert (tmp_path / "saved").exists()


def _always(data: Any) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    wait_for(is_leaving)
    raise PreemptionError("stopped")


def test_a_trial_longer_than_its_workers_time(tmp_path: Path) -> None:
    """It saves nothing, so it would begin for ever: one line says that workers need more time."""
    with (
        two_workers(tmp_path / "dask") as cluster,
        open_dask(cluster.scheduler_address, None) as place,
        pytest.raises(UserError, match=f"3 times each: _always .{socket.gethostname()}: its worker had to end before"),
    ):
        list(place.run([(_always, ())]))


def test_when_a_far_piece_is_stopped() -> None:
    """A minute before the end of a worker's time; where that is short, a fifth of it."""
    now = time.monotonic()
    assert stops_at(3600) - now == pytest.approx(3540, abs=0.5)
    assert stops_at(100) - now == pytest.approx(80, abs=0.5)


def test_a_plugin_that_is_registered_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """By another client of the cluster: the piece at work goes on. Where the worker closes, it is stopped."""
    stopped = list[bool]()
    monkeypatch.setattr("unmask.comparison.leaving_workers.request_stop", lambda: stopped.append(True))
    for status in (Status.running, Status.closing):
        assert not stopped
        worker_plugin().teardown(SimpleNamespace(status=status))
    assert stopped

"""Dask's processes for tests, forked from one that has imported everything: they start in a blink."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
from distributed import Client, LocalCluster, Scheduler, Worker, get_worker
from distributed.utils import get_mp_context

from unmask.config.cluster import ClusterConfig

IMPORTED = ("unmask.comparison.worker_side", "unmask.comparison.tasks", "unmask.audit.audit_runs", "tiny")


@contextmanager
def two_workers(folder: Path) -> Iterator[LocalCluster]:
    """A scheduler here and two worker processes of one thread, which come back when they are killed."""
    kinds = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    with _forking(), LocalCluster(**kinds, local_directory=str(folder), silence_logs=50) as cluster:
        yield cluster


@dataclass(frozen=True)
class Processes:
    """A scheduler and a worker that can be killed for good."""

    scheduler_address: str
    scheduler: Any
    worker: Any


@contextmanager
def one_worker(folder: Path) -> Iterator[Processes]:
    """A scheduler and a worker of one thread, each in a process of its own."""
    with _forking():
        file = folder / "address"
        scheduler = get_mp_context().Process(target=_serve, args=(Scheduler, file), daemon=True)
        scheduler.start()
        wait_for(file.exists)
        worker = get_mp_context().Process(target=_serve, args=(Worker, None, file.read_text()), daemon=True)
        worker.start()
    try:
        yield Processes(file.read_text(), scheduler, worker)
    finally:
        for process in (worker, scheduler):
            process.kill()
            process.join()


def on(cluster: Any) -> ClusterConfig:
    """The place as `--on` names it."""
    return ClusterConfig(on=f"dask:{cluster.scheduler_address}")


def wait_for(condition: Callable[[], bool]) -> None:
    """Look often, for two minutes at most."""
    until = time.monotonic() + 120
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(0.01)


def kill_one(cluster: LocalCluster) -> int:
    """Kill the process of a worker that has a piece; returns its number."""
    with Client(cluster.scheduler_address, set_as_default=False) as client:
        pids = client.run(os.getpid)
        wait_for(lambda: any(client.processing().values()))
        busy = [worker for worker, calls in client.processing().items() if calls]
        os.kill(pids[busy[0]], signal.SIGKILL)
        return int(pids[busy[0]])


@contextmanager
def _forking() -> Iterator[None]:
    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        get_mp_context().set_forkserver_preload(["distributed", *IMPORTED])
        yield


def _serve(kind: Any, file: Path | None, *words: Any) -> None:
    """Run a scheduler or a worker until it is closed or killed."""

    async def serve() -> None:
        how = {"nthreads": 1} if kind is Worker else {"dashboard": False}
        async with kind(*words, host="127.0.0.1", **how) as server:
            if file is not None:
                half = file.with_suffix(".half")
                half.write_text(server.address)
                half.replace(file)
            await server.finished()

    asyncio.run(serve())


def address_here() -> str:
    """Of the worker in this process."""
    return str(get_worker().address)

"""Measured: the cost of handing out a piece on a Dask cluster of this machine, when the piece itself does nothing.

A scheduler and two workers run as separate processes. Prints the wall time, the scheduler's CPU time per piece, and
how the memory of the client grows. Exits 1 if 1,000 pieces take more than 60 s or more than 50 ms of the scheduler's
time each.

    python benchmarks/cluster_overhead.py [--pieces 1000]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from unmask.comparison.dask_workers import open_dask
from unmask.config import DataConfig
from unmask.data.load import Dataset, load_data

MOST_SECONDS, MOST_MS = 60, 50


def main() -> None:
    """Hand them out twice: only the memory of the second thousand grows with the number of pieces."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pieces", type=int, default=1000)
    count = parser.parse_args().pieces
    data = load_data(DataConfig(data="digits"), labels=True, progress=False)
    with tempfile.TemporaryDirectory() as name, cluster(Path(name)) as scheduler:
        found = [hand_out(count, address_of(Path(name)), Path(name), data, scheduler) for _ in range(2)]
    print(f"{'':10s} {'wall, s':>8s} {'scheduler, ms each':>19s} {'client, MiB more':>17s}")
    for turn, (wall, each, grown) in zip(("first", "second"), found, strict=True):
        print(f"{turn:10s} {wall:8.1f} {each:19.1f} {grown:17.1f}")
    wall, each = (max(one[i] for one in found) for i in (0, 1))
    sys.exit(wall * 1000 / count > MOST_SECONDS or each > MOST_MS)


def hand_out(
    count: int, address: str, out: Path, data: Dataset, scheduler: psutil.Process
) -> tuple[float, float, float]:
    """Wall time in s, the scheduler's CPU time in ms per piece, and MiB by which the client has grown."""
    client = psutil.Process()
    before, began, used = client.memory_info().rss, time.monotonic(), sum(scheduler.cpu_times()[:2])
    with open_dask(address, out) as place:
        assert sum(1 for _ in place.run([(nothing, ())] * count, data)) == count
    each = 1000 * (sum(scheduler.cpu_times()[:2]) - used) / count
    return time.monotonic() - began, each, (client.memory_info().rss - before) / 2**20


def nothing(data: Dataset) -> None:
    """An empty piece."""


@contextmanager
def cluster(folder: Path) -> Iterator[psutil.Process]:
    """Start a scheduler and two workers; yield the scheduler."""
    with running("scheduler", folder) as scheduler, running("worker", folder), running("worker", folder):
        yield scheduler


@contextmanager
def running(kind: str, folder: Path) -> Iterator[psutil.Process]:
    """Run a scheduler or a worker until the body ends."""
    more = ["--port", "0", "--no-dashboard"] if kind == "scheduler" else ["--nthreads", "1", "--no-nanny"]
    command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--scheduler-file", str(folder / "address"), *more]
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, env=environment, cwd=folder, stdout=quiet, stderr=quiet)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()


def address_of(folder: Path) -> str:
    """Address of the scheduler, once it has written it."""
    file = folder / "address"
    while not (file.exists() and file.read_text()):
        time.sleep(0.05)
    return str(json.loads(file.read_text())["address"])


if __name__ == "__main__":
    main()

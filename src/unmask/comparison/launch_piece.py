"""A pretraining in several processes of one machine, started by torchrun, whose output is read here."""

import os
import pickle
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

from unmask.comparison.pieces import Task, folder_of, name_of
from unmask.data.load import Dataset
from unmask.data.shared_file import DataFile, write_shared
from unmask.errors import PREEMPTED, PreemptionError, UserError
from unmask.huge_pages import huge_pages
from unmask.preemption import STOPPED
from unmask.wording import plural

GPU_MASK = "CUDA_VISIBLE_DEVICES"
_LOOK = 0.1
"""Seconds between two checks whether the processes have ended, or should."""


def launch_piece(
    task: Task, file: DataFile, processes: int, asked_to_stop: Callable[[], bool], gpus: Sequence[str] = ()
) -> None:
    """Run a task on a file's data in several processes, each with one thread, and on its own GPU if there are any.

    They end with this process, however it ends.

    Args:
        task: exchanges numbers between processes wherever it must.
        file: file of the data.
        processes: two or more.
        asked_to_stop: polled: whether they should save and end.
        gpus: names of the GPUs that they may use; empty: all visible to this process.

    Raises:
        UserError: an error in one of them, or that one was killed.
        PreemptionError: they were stopped, and have saved.
    """
    with tempfile.TemporaryDirectory(prefix="unmask-") as folder:
        given, said = Path(folder, "task"), Path(folder, "said")
        given.write_bytes(pickle.dumps((task, file)))
        command = [*(sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}")]
        command += ["-m", "unmask.comparison.launched_process", str(given)]
        with huge_pages():
            env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        env |= {GPU_MASK: ",".join(gpus)} if gpus else {}
        with said.open("wb") as stream:
            launcher = subprocess.Popen(
                command, env=env, stdin=subprocess.PIPE, stdout=stream, stderr=stream, start_new_session=True
            )
            stopped = _follow(launcher, asked_to_stop)
        if launcher.returncode:
            raise _why(name_of(task), processes, said.read_text(errors="replace"), stopped=stopped)


@contextmanager
def launches(
    processes: int, at_once: int, gpus: Sequence[str]
) -> Iterator[Callable[[Task, Dataset | None], Future[None]]]:
    """Give a function that launches pretrainings beside the work of this process, a limited number at a time.

    If the body fails, they are stopped: they save and end before this returns. Meanwhile the data are in the
    comparison's folder.

    Args:
        processes: processes per pretraining.
        at_once: pretrainings at a time.
        gpus: GPUs of this machine; each pretraining has its own, as many as it has processes.
    """
    stopped, free, files = threading.Event(), SimpleQueue[Sequence[str]](), list[DataFile]()
    for first in range(0, at_once * processes, processes):
        free.put(gpus[first : first + processes])

    def launch(task: Task) -> None:
        """Run one pretraining on GPUs that are free, and give them back."""
        if stopped.is_set():
            raise PreemptionError(STOPPED)
        mine = free.get()
        try:
            launch_piece(task, files[0], processes, stopped.is_set, mine)
        finally:
            free.put(mine)

    def submit(task: Task, data: Dataset | None) -> Future[None]:
        """Hand a pretraining to a thread; the first one also writes the data into a shared file."""
        if not files:
            folder = folder_of(task)
            assert folder is not None
            assert data is not None
            files.append(write_shared(data, folder.parent.parent / ".data.tmp"))
        return threads.submit(launch, task)

    try:
        with ThreadPoolExecutor(at_once) as threads:
            try:
                yield submit
            except BaseException:
                stopped.set()
                raise
    finally:
        for file in files:
            Path(file.path).unlink(missing_ok=True)


def _follow(launcher: "subprocess.Popen[bytes]", asked_to_stop: Callable[[], bool]) -> bool:
    """Wait for the launcher to end, passing on a request to stop; returns whether there was one."""
    told = False
    try:
        while launcher.poll() is None:
            if not told and asked_to_stop():
                launcher.terminate()
                told = True
            time.sleep(_LOOK)
    finally:
        launcher.terminate()
        launcher.wait()
        if launcher.stdin is not None:
            launcher.stdin.close()
    return told or asked_to_stop()


def _why(name: str, processes: int, said: str, *, stopped: bool) -> Exception:
    """The message of the first process that reported one."""
    found = re.search(r"^unmask (\d+): (.*)$", said, re.MULTILINE)
    if found is None and not stopped:
        return UserError(
            f"{name}: one of its {plural(processes, 'process', 'processes')} was killed, possibly because memory ran "
            "out; what was saved is kept, continue with `resume=True`"
        )
    if found is None:
        return PreemptionError(STOPPED)
    return (PreemptionError if int(found[1]) == PREEMPTED else UserError)(found[2])

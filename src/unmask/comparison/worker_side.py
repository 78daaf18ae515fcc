"""The worker's side of a cluster: load the data once, run pieces, and report the worker's properties."""

import multiprocessing
import platform
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import torch

from unmask.comparison.far_worker import BackFile, Parcel, far_piece, here, seen_or_sent
from unmask.comparison.launch_piece import launch_piece
from unmask.comparison.leaving_workers import AT_WORK, is_leaving, leaving_early
from unmask.comparison.pieces import Task, folder_of
from unmask.comparison.tries import PieceError
from unmask.comparison.workers import usable_cores
from unmask.data.load import Dataset
from unmask.data.shared_file import DataFile, read_shared
from unmask.errors import PreemptionError, UserError, is_out_of_memory, memory_line
from unmask.preemption import begin_again, noticing, request_stop
from unmask.runs.environment import package_versions, processor_name
from unmask.runs.lock import wait_until_free

ALIKE = ("unmask", "torch")
"""Packages that must have the client's version on all workers; for others a difference is noted."""
_PAUSE = 1.0
"""Seconds to wait before sending away a piece that may come back immediately."""
_TOO_SHORT = "its worker had to end before it was done, and had done nothing else: give workers more time"
_NUMBERS = count()
"""Pieces of this process."""
_DATA: dict[DataFile, Dataset] = {}
"""Data set of the newest comparison in this process."""


@dataclass(frozen=True)
class WorkerFacts:
    """A worker, and what its numbers depend on."""

    address: str
    host: str
    processor: str
    python: str
    packages: tuple[tuple[str, str | None], ...]
    cores: int = 1
    """Cores that this process may use, shared with others on its machine."""
    gpus: int = 0
    """GPUs visible to this process."""

    def holds(self, processes: int) -> bool:
        """Whether a pretraining can be spread over this many processes there."""
        return processes <= (self.gpus or self.cores)

    def differing(self, own: "WorkerFacts", names: Sequence[str]) -> str:
        """The first of Python and these packages whose version differs from the client's; "" if none does."""
        here, there = dict(own.packages) | {"Python": own.python}, dict(self.packages) | {"Python": self.python}
        unlike = [name for name in ("Python", *names) if here.get(name) != there.get(name)]
        return f"{unlike[0]} {there.get(unlike[0])}, the client {here.get(unlike[0])}" if unlike else ""


def describe_worker() -> WorkerFacts:
    """The facts of this process."""
    return replace(_describe(), address=_address())


@cache
def _describe() -> WorkerFacts:
    return WorkerFacts(
        address="",
        host=socket.gethostname(),
        processor=processor_name(),
        python=".".join(platform.python_version_tuple()[:2]),
        packages=tuple(package_versions().items()),
        cores=usable_cores(),
        gpus=torch.cuda.device_count() if torch.cuda.is_available() else 0,
    )


def unseen_path(paths: Sequence[str]) -> str | None:
    """The first of these paths that this process does not see; None if it sees all."""
    return next((path for path in paths if not Path(path).exists()), None)


def why_unreadable(file: DataFile, key: str, dask_worker: Any = None) -> str:
    """Why the data of a file cannot be read here; "" if they can."""
    try:
        read_shared(seen_or_sent(file, key, dask_worker))
    except (UserError, OSError) as error:
        return f"({socket.gethostname()}) {error}"
    return ""


def ask_to_stop() -> None:
    """Let the training of this process save and end after its step."""
    request_stop()


@dataclass(frozen=True)
class Errand:
    """How a piece is run."""

    client: WorkerFacts
    """The versions that a worker must have."""
    key: str = ""
    """Folder of the comparison, if workers may not see it."""
    parcel: Parcel | None = None
    """What the task needs in that case; None as long as all workers seemed to see it."""
    processes: int = 1
    """Processes of a pretraining."""


@dataclass(frozen=True)
class Answer:
    """The outcome of a piece."""

    worker: WorkerFacts
    result: Any
    files: tuple[BackFile, ...] = ()
    """Files to write, if the worker does not see the comparison's folder."""
    is_whole: bool = True
    """Whether the piece is done; else it must be handed out again, with its files so far."""


class _NotHereError(Exception):
    """This worker is not suitable for a piece."""


def run_piece(task: Task, file: DataFile | None, errand: Errand) -> Answer:
    """Run a task with one thread on the data of a file, which are loaded once.

    If another worker, whose client is gone, is still writing the folder, this waits for it. A training that this worker
    saved because it shuts down resumes elsewhere, which does not count as a try; neither does an unsuitable worker. A
    trial, which saves nothing, counts as a try if the worker had time for nothing else.

    Raises:
        PieceError: why it failed.
    """
    with AT_WORK:
        begin_again()
        torch.set_num_threads(1)
        is_first = next(_NUMBERS) == 0
        try:
            if is_leaving():
                raise _NotHereError
            return _do(task, file, errand)
        except Exception as error:
            if isinstance(error, PreemptionError) and is_first and folder_of(task) is None:
                raise PieceError(f"{socket.gethostname()}: {_TOO_SHORT}", _address()) from error
            if isinstance(error, PreemptionError | _NotHereError) or is_leaving():
                raise _elsewhere() from error
            line = memory_line(error) if is_out_of_memory(error) else (str(error).splitlines() or [""])[0]
            raise PieceError(f"{socket.gethostname()}: {line or type(error).__name__}", _address()) from error


def _do(task: Task, file: DataFile | None, errand: Errand) -> Answer:
    """Run in the comparison's folder if this worker sees it, else in its own."""
    own = describe_worker()
    file, is_far = (file, False) if file is None else here(file, errand.key)
    will_do = not own.differing(errand.client, ALIKE) and own.holds(errand.processes)
    if not will_do or (is_far and errand.parcel is None):
        time.sleep(_PAUSE)
        raise _NotHereError
    if not is_far or errand.parcel is None:
        folder = folder_of(task)
        if folder is not None:
            wait_until_free(folder)
        return Answer(own, _call(task, file, errand.processes))
    with far_piece(task, errand.parcel) as piece, leaving_early():
        try:
            result, is_whole = _call(piece.task, file, errand.processes), True
        except PreemptionError:
            if folder_of(task) is None:
                raise
            result, is_whole = None, False
        return Answer(own, result, tuple(piece.files()), is_whole)


def _call(task: Task, file: DataFile | None, processes: int) -> Any:
    if processes > 1 and folder_of(task) is not None and file is not None:
        with noticing() as asked_to_stop:
            return launch_piece(task, file, processes, asked_to_stop)
    function, arguments = task
    return function(*arguments, None if file is None else _data_of(file))


def _elsewhere() -> Exception:
    """The request to the scheduler to hand out a piece again."""
    from distributed import Reschedule

    return Reschedule()


def _data_of(file: DataFile) -> Dataset:
    if file not in _DATA:
        _DATA.clear()
        data = read_shared(file)
        # A worker started by a nanny may have no child processes, so it decodes itself.
        _DATA[file] = data.read_by(0) if multiprocessing.current_process().daemon else data
    return _DATA[file]


def _address() -> str:
    """The address of the Dask worker in this process; "here" for the client."""
    if "distributed" not in sys.modules:
        return "here"
    from distributed import get_worker

    try:
        return str(get_worker().address)
    except ValueError:
        return "here"

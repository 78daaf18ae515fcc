"""What a worker of a cluster does: load the data once, do the pieces that it gets, and say what it is."""

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
"""Packages of which all workers must have the client's version; of others a difference is told."""
_PAUSE = 1.0
"""Seconds before a piece is sent away that may come back at once."""
_TOO_SHORT = "its worker had to end before it was done, and had done nothing else: give workers more time"
_NUMBERS = count()
"""Of this process: its pieces."""
_DATA: dict[DataFile, Dataset] = {}
"""Of this process: the data set of the newest comparison."""


@dataclass(frozen=True)
class WorkerFacts:
    """A worker, and what its numbers depend on."""

    address: str
    host: str
    processor: str
    python: str
    packages: tuple[tuple[str, str | None], ...]
    cores: int = 1
    """That this process may use, with others of its machine."""
    gpus: int = 0
    """That this process sees."""

    def holds(self, processes: int) -> bool:
        """Whether a pretraining can be spread over so many processes there."""
        return processes <= (self.gpus or self.cores)

    def differing(self, own: "WorkerFacts", names: Sequence[str]) -> str:
        """The first of Python and these packages whose version is not the client's; "" where all are alike."""
        here, there = dict(own.packages) | {"Python": own.python}, dict(self.packages) | {"Python": self.python}
        unlike = [name for name in ("Python", *names) if here.get(name) != there.get(name)]
        return f"{unlike[0]} {there.get(unlike[0])}, the client {here.get(unlike[0])}" if unlike else ""


def describe_worker() -> WorkerFacts:
    """This process."""
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
    """The first of these paths that is not there in this process; None where all are."""
    return next((path for path in paths if not Path(path).exists()), None)


def why_unreadable(file: DataFile, key: str, dask_worker: Any = None) -> str:
    """Why the data of a file cannot be read here; "" where they can."""
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
    """How a piece is to be done."""

    client: WorkerFacts
    """The versions that a worker must have."""
    key: str = ""
    """Of the comparison, where workers may not see its folder."""
    parcel: Parcel | None = None
    """What the task needs where it does not; None while all workers seemed to see it."""
    processes: int = 1
    """Over which a pretraining is spread."""


@dataclass(frozen=True)
class Answer:
    """What comes back of a piece."""

    worker: WorkerFacts
    result: Any
    files: tuple[BackFile, ...] = ()
    """Where the worker does not see the comparison's folder."""
    is_whole: bool = True
    """Whether the piece is done; else it is to be handed out again, with what its files have of it."""


class _NotHereError(Exception):
    """This worker will not do for a piece."""


def run_piece(task: Task, file: DataFile | None, errand: Errand) -> Answer:
    """Run a task with one thread on the data of a file, which are loaded once.

    A folder that another worker is still writing, since its client is gone, is waited for. A training that this worker
    has saved, since it leaves, is begun again elsewhere, which does not count as a try; nor does it where this worker
    will not do. It does for a trial, which saves nothing, where the worker had time for nothing else.

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
    """Where this worker sees the comparison's folder there, else in one of its own."""
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
    """What tells the scheduler to hand a piece out again."""
    from distributed import Reschedule

    return Reschedule()


def _data_of(file: DataFile) -> Dataset:
    if file not in _DATA:
        _DATA.clear()
        data = read_shared(file)
        # A worker that its nanny started may have no processes of its own, so it decodes itself.
        _DATA[file] = data.read_by(0) if multiprocessing.current_process().daemon else data
    return _DATA[file]


def _address() -> str:
    """Of the Dask worker in this process; of the client "here"."""
    if "distributed" not in sys.modules:
        return "here"
    from distributed import get_worker

    try:
        return str(get_worker().address)
    except ValueError:
        return "here"

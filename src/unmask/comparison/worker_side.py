"""What a worker of a cluster does: load the data once, do the pieces that it gets, and say what it is."""

import multiprocessing
import platform
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from unmask.comparison.pieces import Task, folder_of
from unmask.comparison.tries import PieceError
from unmask.data.load import Dataset
from unmask.data.shared_file import DataFile, read_shared
from unmask.errors import PreemptionError, is_out_of_memory, memory_line
from unmask.preemption import begin_again, request_stop
from unmask.runs.environment import package_versions, processor_name
from unmask.runs.lock import wait_until_free

_ONE = threading.Lock()
"""Of this process: one piece at a time."""
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
    )


def sees(path: str, text: str) -> bool:
    """Whether a file is here, with this text."""
    return Path(path).is_file() and Path(path).read_text() == text


def ask_to_stop() -> None:
    """Let the training of this process save and end after its step."""
    request_stop()


def ending_pieces() -> Any:
    """A plugin with which a worker that leaves, as at the end of its job's time, lets its training save and end."""
    from distributed import WorkerPlugin

    class EndingPieces(WorkerPlugin):
        name = "unmask"

        def teardown(self, worker: Any) -> None:
            request_stop()

    return EndingPieces()


def run_piece(task: Task, file: DataFile | None) -> tuple[WorkerFacts, Any]:
    """Run a task with one thread on the data of a file, which are loaded once. Returns which worker did it, its result.

    A folder that another worker is still writing, since its client is gone, is waited for. A training that this worker
    has saved, since it leaves, is begun again elsewhere, which does not count as a try.

    Raises:
        PieceError: why it failed.
    """
    function, arguments = task
    with _ONE:
        begin_again()
        torch.set_num_threads(1)
        try:
            folder = folder_of(task)
            if folder is not None:
                wait_until_free(folder)
            result = function(*arguments, None if file is None else _data_of(file))
        except PreemptionError as error:
            raise _elsewhere() from error
        except Exception as error:
            line = memory_line(error) if is_out_of_memory(error) else (str(error).splitlines() or [""])[0]
            raise PieceError(f"{socket.gethostname()}: {line or type(error).__name__}", _address()) from error
    return describe_worker(), result


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

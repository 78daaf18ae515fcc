"""Workers of a Dask cluster, here or on other machines, as the place where pieces of work run."""

import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from unmask.comparison.pieces import Task, encoders_awaited, file_of, in_turn, name_of
from unmask.comparison.tries import TRIES, Tries
from unmask.comparison.worker_side import (
    WorkerFacts,
    ask_to_stop,
    describe_worker,
    ending_pieces,
    run_piece,
    sees,
)
from unmask.data.load import Dataset
from unmask.data.shared_file import DataFile, write_shared
from unmask.errors import UserError
from unmask.wording import plural

_CONNECT = 10.0
"""Seconds in which a scheduler answers, and again in which one that is gone comes back."""
_JOIN = 60.0
"""Seconds in which a worker joins a scheduler that is running."""
_VISIBLE = 60.0
"""Seconds after which a file that another machine wrote is seen here: network file systems remember what was not."""
_AGAIN = 5.0
"""Seconds between two looks at how many workers there are."""
_ADVICE = "; what was finished is kept, go on with `resume=True`"
"""Where pieces leave files."""
_TOLD = 3
"""Failures that a message tells; of more it gives the number."""
_ALIKE = ("unmask", "torch")
"""Packages of which all workers must have the client's version; of others a difference is told."""


@contextmanager
def open_dask(address: str, out: Path | None, planned: int | None = None) -> Iterator["DaskWorkers"]:
    """The workers of a scheduler that is running, while the body runs.

    Args:
        address: of the scheduler, as tcp://HOST:8786.
        out: folder that all workers must see; None where none need see any, and pieces have no data.
        planned: workers that will join, where they are waited for as jobs; None: those that there are.

    Raises:
        UserError: no Dask here, no scheduler or no worker there; a worker has several threads, other versions, or does
            not see the folder.
    """
    client = _connect(address)
    place = DaskWorkers(client, address, out, planned or 0)
    try:
        client.register_plugin(ending_pieces())
        if planned is None:
            _wait_for_worker(client, address)
            place.check()
        yield place
    finally:
        if place.file is not None:
            Path(place.file.path).unlink(missing_ok=True)
        with suppress(OSError, TimeoutError):
            client.close(timeout=_CONNECT)


@dataclass
class DaskWorkers:
    """Workers that do one piece at a time, each in a process of its own with one thread."""

    client: Any
    address: str
    out: Path | None
    planned: int
    """Workers that have been asked for, whether they have come or not."""
    facts: dict[str, WorkerFacts] = field(default_factory=dict)
    """Of every worker that was seen, by its address."""
    file: DataFile | None = None
    """The data, once written; what a kill leaves there counts as a half file."""

    pretrains_in_workers = True
    _counted: tuple[float, int] = (0.0, 0)
    _advice: str = ""

    @property
    def jobs(self) -> int:
        """Pieces at once: the workers that there are or will be, counted anew every few seconds.

        Raises:
            UserError: the scheduler does not answer.
        """
        at, count = self._counted
        if time.monotonic() - at > _AGAIN:
            try:
                count = len(self.client.nthreads())
            except (OSError, TimeoutError, RuntimeError, CancelledError):
                raise self._gone() from None
            self._counted = time.monotonic(), count
        return max(count, self.planned, 1)

    def check(self) -> None:
        """Raise `UserError` unless all workers have one thread, this package, the client's versions, and the folder."""
        for worker, threads in self.client.nthreads().items():
            if threads > 1:
                raise UserError(
                    f"{self.address}: the worker {worker} has {threads} threads: start it with --nthreads 1, and "
                    "--nworkers as many as it has cores, or GPUs; a training has one thread"
                )
        answers = self._ask(describe_worker)
        for worker, found in answers.items():
            if differing := found.differing(describe_worker(), _ALIKE):
                raise UserError(f"{self.address}: the worker {worker} has {differing}: install the same versions there")
        self.facts.update(answers)
        if self.out is not None:
            self._check_folder(self.out)

    def _check_folder(self, out: Path) -> None:
        """Raise `UserError` unless all workers see a folder, or that in which it will be made."""
        probe = next(path for path in (out, *out.parents) if path.is_dir()) / f".probe.{os.getpid()}.tmp"
        try:
            probe.write_text(self.address)
            blind = [
                worker for worker, found in self._ask(partial(sees, str(probe), self.address)).items() if not found
            ]
        finally:
            probe.unlink(missing_ok=True)
        if blind:
            raise UserError(
                f"{out}: the worker {blind[0]} does not see this folder: give an `out` on a file system that all "
                "machines have at the same path"
            )

    def run(self, tasks: Sequence[Task], data: Dataset | None = None) -> Iterator[tuple[int, Any]]:
        """See `Place.run`. What fails is begun three times, a killed worker's piece on another; the rest is done."""
        if self.file is None and data is not None:
            assert self.out is not None
            self.file = write_shared(data, self.out / ".data.tmp")
        self._advice = _ADVICE if any(map(file_of, tasks)) else ""
        tries, failed, done = Tries(self.client), dict[int, str](), 0
        try:
            for index, future in in_turn(
                lambda task: tries.submit(run_piece, task, self.file),
                tasks,
                encoders_awaited(tasks),
                lambda: self.jobs,  # a piece for each worker, so that none waits behind a long one
            ):
                if future.cancelled():
                    raise self._gone()
                if (error := future.exception()) is not None:
                    failed[index] = _line_of(error)
                    continue
                found, result = future.result()
                self.facts[found.address] = found
                _await(file_of(tasks[index]))
                done += 1
                yield index, result
        except BaseException:
            self._stop(tries)
            raise
        if failed:
            names = {name_of(tasks[index]): why for index, why in failed.items()}
            raise UserError(f"{_failures(names, len(tasks) - done - len(failed))}{self._advice}")

    def notes(self) -> list[str]:
        """A note where workers are of several kinds, whose numbers may differ in their last bits."""
        return mixed_notes(list(self.facts.values()))

    def _gone(self) -> UserError:
        return UserError(
            f"{self.address}: the connection to the scheduler was lost: start it and its workers again{self._advice}"
        )

    def _ask(self, question: Any) -> dict[str, Any]:
        """What every worker answers.

        Raises:
            UserError: one cannot, most likely for want of this package.
        """
        try:
            answers: dict[str, Any] = self.client.run(question)
        except Exception as error:
            raise UserError(
                f"{self.address}: a worker cannot run this package ({_line_of(error)}): install unmask of this version "
                "there"
            ) from None
        return answers

    def _stop(self, tries: Tries) -> None:
        """Take back what waits, and let trainings that run save and end after a step."""
        if self.client.status == "running":
            with suppress(Exception):  # whatever the workers say to it, the reason for the end is told
                tries.cancel()
                self.client.run(ask_to_stop)


def mixed_notes(workers: Sequence[WorkerFacts]) -> list[str]:
    """What differs between workers in a way that may change the last bits of numbers."""
    processors = sorted({one.processor for one in workers})
    packages = sorted({package for one in workers for package in one.packages})
    names = sorted({name for name, _ in packages})
    versions = {name: [version or "none" for other, version in packages if other == name] for name in names}
    mixed = [f"{name} {' and '.join(found)}" for name, found in versions.items() if len(found) > 1]
    notes = []
    if len(processors) > 1:
        notes.append(
            f"trainings ran on {len(processors)} types of processors ({', '.join(processors)}): numbers of one type "
            "differ from those of another in their last bits"
        )
    if mixed:
        notes.append(f"workers had different versions ({', '.join(mixed)}): numbers may differ in their last bits")
    return notes


def _failures(failed: Mapping[str, str], waiting: int) -> str:
    """What is said of pieces that failed, by name, and of the number of those that would have come after them."""
    told = [f"{name} ({why})" for name, why in list(failed.items())[:_TOLD]]
    told += [plural(len(failed) - _TOLD, "other piece")] * (len(failed) > _TOLD)
    rest = f"{plural(waiting, 'piece')} had to wait for that, " if waiting else ""
    return f"failed on the workers, {TRIES} times each: {'; '.join(told)}; {rest}the rest is done"


def _connect(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise UserError(f"on = {address!r} needs Dask: pip install 'unmask[cluster]'") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Dask's warning of versions; ours are compared by `check`
            return Client(address, timeout=_CONNECT, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise UserError(
            f"on = dask:{address}: no Dask scheduler answers there ({_line_of(error)}): start one with 'dask "
            "scheduler', or give another address"
        ) from None


def _wait_for_worker(client: Any, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=_JOIN)
    except TimeoutError:
        raise UserError(
            f"on = dask:{address}: no worker has joined this scheduler: start some with 'dask worker {address} "
            "--nthreads 1 --nworkers N'"
        ) from None


def _await(file: Path | None) -> None:
    """Wait until a file that a worker has written is seen here."""
    until = time.monotonic() + _VISIBLE
    while file is not None and not file.exists():
        if time.monotonic() > until:
            raise UserError(f"{file}: a worker has written it, and it is not here: `out` must be one folder for all")
        with suppress(OSError):
            os.listdir(file.parent)  # a network file system asks its server anew
        time.sleep(0.05)


def _line_of(error: BaseException) -> str:
    """What an error says, in a line: a worker's own words, or that workers were killed."""
    if type(error).__name__ == "KilledWorker":
        return "every worker that began it was killed, possibly because memory ran out"
    first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return first.strip()

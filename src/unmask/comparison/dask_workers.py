"""Workers of a Dask cluster, here or on other machines, as the place where pieces of work run."""

import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unmask.comparison.far_files import FarFiles
from unmask.comparison.leaving_workers import nanny_plugin, worker_plugin
from unmask.comparison.pieces import Task, encoders_awaited, file_of, folder_of, in_turn, name_of
from unmask.comparison.roster import Roster
from unmask.comparison.tries import TRIES, Tries
from unmask.comparison.worker_side import Answer, Errand, ask_to_stop, describe_worker, run_piece, why_unreadable
from unmask.data.load import Dataset
from unmask.data.shared_file import DataFile, write_shared
from unmask.errors import UserError
from unmask.wording import plural

_CONNECT = 10.0
"""Seconds to wait for a scheduler's answer, and again for a lost scheduler to come back."""
_JOIN = 60.0
"""Seconds to wait for a worker to join a running scheduler."""
_VISIBLE = 60.0
"""Seconds to wait for another machine's file to appear here: network file systems cache that it did not exist."""
_AGAIN = 5.0
"""Seconds between two counts of the workers."""
_ADVICE = "; what was finished is kept, continue with `resume=True`"
"""Where pieces leave files."""
_STREAMED = (
    "streamed images (`cache_mib`) are read from their own files: give a path that all machines have, or cache them"
)
_TOLD = 3
"""Number of failures that a message lists; it only counts the others."""


@contextmanager
def open_dask(
    address: str,
    out: Path | None,
    planned: int | None = None,
    pretrain_processes: int = 1,
    needed: Sequence[Path] = (),
) -> Iterator["DaskWorkers"]:
    """The workers of a running scheduler, while the body runs.

    Args:
        address: address of the scheduler, such as tcp://HOST:8786.
        out: folder of the comparison; None if pieces have no data and write no files.
        planned: workers that will join as jobs, which are waited for; None: the workers that are there now.
        pretrain_processes: processes per pretraining.
        needed: paths that every worker must see.

    Raises:
        UserError: Dask is not installed; no scheduler or worker answers; a worker has several threads or other
            versions, or does not see a path; none has as many GPUs or cores as a pretraining has processes.
    """
    client = _connect(address)
    far = None if out is None else FarFiles(client, out)
    place = DaskWorkers(
        client, Roster(client, address, tuple(map(str, needed))), far, out, planned or 0, pretrain_processes
    )
    try:
        for plugin in (worker_plugin(), nanny_plugin()):
            client.register_plugin(plugin)
        if planned is None:
            _wait_for_worker(client, address)
            place.meet(first=True)
            place.roster.allowed(pretrain_processes)
        yield place
    finally:
        if place.file is not None:
            Path(place.file.path).unlink(missing_ok=True)
        if far is not None:
            far.close()
        with suppress(OSError, TimeoutError):
            client.close(timeout=_CONNECT)


@dataclass
class DaskWorkers:
    """Workers that do one piece at a time, each in its own process with one thread."""

    client: Any
    roster: Roster
    far: FarFiles | None
    """Files on machines that do not see the folder."""
    out: Path | None
    planned: int
    """Workers requested, whether they have joined or not."""
    pretrain_processes: int = 1
    file: DataFile | None = None
    """The data, once written; what a killed process leaves there counts as an incomplete file."""

    pretrains_in_workers = True
    _looked: float = 0.0
    _advice: str = ""
    _tries: Tries | None = None

    @property
    def jobs(self) -> int:
        """Pieces at a time: the workers that have joined or will join; new ones are checked every few seconds.

        Raises:
            UserError: the scheduler does not answer, or none of its workers is suitable.
        """
        if time.monotonic() - self._looked > _AGAIN:
            self.meet()
        return max(len(self.roster.here), self.planned, 1)

    def meet(self, *, first: bool = False) -> None:
        """Query new workers, and give them what the others were given.

        Raises:
            UserError: see `Roster.meet` and `FarFiles.meet`; the scheduler does not answer.
        """
        with self._connected():
            new = self.roster.meet(first=first)
            if new and self.far is not None:
                self.far.meet(new)
            self._look_at_images(new)
        self._looked = time.monotonic()

    def run(self, tasks: Sequence[Task], data: Dataset | None = None) -> Iterator[tuple[int, Any]]:
        """See `Place.run`. A failed piece is tried three times, a killed worker's on another; the rest is finished."""
        if self.file is None and data is not None:
            assert self.out is not None
            self._share(data, self.out / ".data.tmp")
        self._advice = _ADVICE if any(map(file_of, tasks)) else ""
        failed, done = dict[int, str](), 0
        room = lambda: self.jobs  # noqa: E731 - one piece per worker, so that none waits behind a long one
        self._tries = Tries(self.client)
        try:
            for index, future in in_turn(
                self._submit, tasks, encoders_awaited(tasks), room, self._width, self._is_begun
            ):
                if future.cancelled():
                    raise self._gone()
                if (error := future.exception()) is not None:
                    failed[index] = _line_of(error)
                    continue
                answer = future.result()
                self._keep(tasks[index], answer)
                done += 1
                yield index, answer.result
        except BaseException:
            self._stop()
            raise
        if failed:
            names = {name_of(tasks[index]): why for index, why in failed.items()}
            raise UserError(f"{_failures(names, len(tasks) - done - len(failed))}{self._advice}")

    def try_out(self, task: Task, data: Dataset) -> Any:
        """See `Place.try_out`. Also None if workers do not see the folder: the data are not sent for it."""
        if self.out is None or self.far is None or self.far.machines or not self.roster.here:
            return None
        folder = next(path for path in (self.out, *self.out.parents) if path.is_dir())
        try:
            self._share(data, folder / f".data.{os.getpid()}.tmp")
            ((_, found),) = self.run([task], data)
            return found
        finally:
            if self.file is not None:
                Path(self.file.path).unlink(missing_ok=True)
            self.file = None

    def _share(self, data: Dataset, path: Path) -> None:
        self.file = write_shared(data, path)
        with self._connected():
            self._look_at_images(self.roster.here, first=True)

    def _look_at_images(self, workers: Sequence[str], *, first: bool = False) -> None:
        """Leave out workers that cannot read streamed images, which are not sent.

        Raises:
            UserError: see `Roster.refuse`.
        """
        if self.file is None or self.file.streamed is None or self.far is None or not workers:
            return
        self.far.send_data(self.file)
        why = self.client.run(why_unreadable, self.file, self.far.key, workers=list(workers), on_error="ignore")
        self.roster.refuse(
            {worker: f"{said}; {_STREAMED}" if said else "" for worker, said in why.items()}, first=first
        )

    def notes(self) -> list[str]:
        """Workers left out, kinds of workers whose numbers may differ in the last bits, and what had to be sent."""
        return [*self.roster.notes(), *(self.far.notes() if self.far is not None else [])]

    def _processes(self, task: Task) -> int:
        return self.pretrain_processes if folder_of(task) is not None else 1

    def _width(self, task: Task) -> int:
        return self.roster.width(self._processes(task))

    def _submit(self, task: Task) -> Any:
        processes, parcel, key = self._processes(task), None, ""
        if self.far is not None:
            with self._connected():
                parcel, key = self.far.parcel(task, self.file), self.far.key
        assert self._tries is not None
        errand = Errand(describe_worker(), key, parcel, processes)
        return self._tries.submit(run_piece, task, self.file, errand, hosts=self.roster.allowed(processes))

    def _is_begun(self, task: Task, future: Any) -> bool:
        """Whether a piece came back unfinished with files from which another worker resumes it; they are written."""
        if future.cancelled() or future.exception() is not None or future.result().is_whole:
            return False
        self._keep(task, future.result())
        return True

    def _keep(self, task: Task, answer: Answer) -> None:
        self.roster.facts[answer.worker.address] = answer.worker
        if answer.files and self.far is not None:
            self.far.take(task, answer.files)
        if answer.is_whole:
            _await(file_of(task))

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """Turn errors of a lost connection in the body into one line."""
        try:
            yield
        except (OSError, TimeoutError, RuntimeError, CancelledError):
            raise self._gone() from None
        except AttributeError:
            if self.client.scheduler is not None:  # else Dask's client has already noticed the loss
                raise
            raise self._gone() from None

    def _gone(self) -> UserError:
        return UserError(
            f"{self.roster.address}: the connection to the scheduler was lost: start it and its workers "
            f"again{self._advice}"
        )

    def _stop(self) -> None:
        """Cancel waiting pieces, and let running trainings save and end after a step."""
        if self.client.status == "running":
            with suppress(Exception):  # whatever the workers answer, the reason for the end is reported
                if self._tries is not None:
                    self._tries.cancel()
                self.client.run(ask_to_stop)


def _failures(failed: Mapping[str, str], waiting: int) -> str:
    """The message about failed pieces, by name, and about the number of pieces that depend on them."""
    told = [f"{name} ({why})" for name, why in list(failed.items())[:_TOLD]]
    told += [plural(len(failed) - _TOLD, "other piece")] * (len(failed) > _TOLD)
    rest = f"{plural(waiting, 'piece')} depended on that, " if waiting else ""
    return f"failed on the workers, {TRIES} times each: {'; '.join(told)}; {rest}the rest is finished"


def _connect(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise UserError(f"on = {address!r} needs Dask: pip install 'unmask[cluster]'") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about versions; `Roster.meet` compares those that matter
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
    """Wait until a file that a worker has written appears here."""
    until = time.monotonic() + _VISIBLE
    while file is not None and not file.exists():
        if time.monotonic() > until:
            raise UserError(f"{file}: a worker wrote it, but it is not here: `out` must be the same folder for all")
        with suppress(OSError):
            os.listdir(file.parent)  # a network file system asks its server anew
        time.sleep(0.05)


def _line_of(error: BaseException) -> str:
    """An error's message as one line: the worker's own, or that workers were killed."""
    if type(error).__name__ == "KilledWorker":
        return "every worker that started it was killed: memory ran out, or its job's time"
    first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return first.strip()

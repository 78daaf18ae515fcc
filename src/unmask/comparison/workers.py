"""Pieces side by side on this machine: worker processes of one thread each, fed with the data through shared memory."""

import os
import pickle
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from multiprocessing.process import BaseProcess
from typing import Any

import torch
import torch.multiprocessing as mp

from unmask.comparison.launch_piece import GPU_MASK, launches
from unmask.comparison.pieces import Task, encoders_awaited, folder_of, in_turn
from unmask.data.load import Dataset
from unmask.errors import PREEMPTED, PreemptionError, UserError
from unmask.huge_pages import huge_pages
from unmask.main_guard import NO_GUARD, left_for_want_of_guard
from unmask.open_files import require_open_files
from unmask.preemption import STOPPED
from unmask.wording import plural

_KILLED = (
    "a worker process was killed, possibly because memory ran out: use fewer `jobs` or a smaller batch; "
    "what was finished is kept, continue with `resume=True`"
)
_DATA: list[Dataset | None] = []  # in a worker process, set once when it starts
_ENDING = threading.Event()  # in a worker process: SIGTERM has ended a task, and the pool still holds others for it


def usable_cores() -> int:
    """The cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def default_jobs() -> int:
    """As many trials at a time as there are cores, or GPUs if GPUs do the work."""
    return max(1, torch.cuda.device_count() if torch.cuda.is_available() else usable_cores())


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, by the names that CUDA_VISIBLE_DEVICES gives them."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    named = os.environ.get(GPU_MASK)
    return tuple(named.split(",") if named else map(str, range(count)))[:count]


@dataclass(frozen=True)
class LocalProcesses:
    """This machine as the place where trainings run. With several GPUs every worker process sees one of them."""

    jobs: int
    """Trainings at a time."""
    gpus: tuple[str, ...] = ()
    """Names of the GPUs; if there are several, worker processes take them in turn."""
    pretrain_processes: int = 1
    """Processes per pretraining."""
    patient: bool = True
    """Whether Ctrl-C lets running work finish; else it is stopped immediately, since it keeps nothing."""

    def __post_init__(self) -> None:
        room = len(self.gpus) or self.jobs
        if self.pretrain_processes > max(1, room):
            there = plural(room, "GPU") if self.gpus else f"{plural(room, 'process', 'processes')} at a time (`jobs`)"
            raise UserError(f"pretrain_processes = {self.pretrain_processes}: this machine has {there}; give fewer")

    @property
    def pretrains_in_workers(self) -> bool:
        """Whether every pretraining is its own piece: this process would use one of several GPUs, or one core."""
        return (len(self.gpus) > 1 and self.jobs > 1) or self.pretrain_processes > 1

    def run(self, tasks: Sequence[Task], data: Dataset | None = None) -> Iterator[tuple[int, Any]]:
        """See `run_tasks`."""
        return run_tasks(tasks, data, self.jobs, self.gpus, self.pretrain_processes, self.patient)

    def try_out(self, task: Task, data: Dataset) -> None:
        """None: these workers are not elsewhere."""

    def notes(self) -> list[str]:
        """No notes on a single machine."""
        return []


def _start(data: Dataset | None, gpus: Any) -> None:
    if gpus is not None:
        os.environ[GPU_MASK] = gpus.get()  # before CUDA is first used here
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: running work may finish
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _DATA.append(data)


def _end_with_parent() -> None:
    """A parent ended by SIGKILL cannot notify anybody: its workers end when it is gone, whatever they do."""
    parent = mp.parent_process()
    if parent is not None:
        parent.join()
        os._exit(PREEMPTED)


def _call(task: Task) -> Any:
    if _ENDING.is_set():
        raise PreemptionError(STOPPED)
    function, arguments = task
    try:
        return function(*arguments, _DATA[0])
    except PreemptionError:
        _ENDING.set()
        raise


def run_tasks(
    tasks: Sequence[Task],
    data: Dataset | None,
    jobs: int,
    gpus: Sequence[str] = (),
    pretrain_processes: int = 1,
    patient: bool = True,
) -> Iterator[tuple[int, Any]]:
    """Run every task as function(*arguments, data); yields index and result of each as it ends.

    Every task runs with one thread, so that its numbers do not depend on `jobs`; of several `gpus` a process sees one.
    A trial whose pretraining is among the tasks starts after it; a pretraining over several processes counts as many.
    The first failure, or Ctrl-C, is raised here after running tasks have ended or saved, immediately if not `patient`;
    waiting tasks are dropped, finished ones keep their files.
    """

    def width(task: Task) -> int:
        """How many processes a task takes."""
        return pretrain_processes if folder_of(task) is not None else 1

    wide = any(width(task) > 1 for task in tasks)
    if (jobs == 1 or len(tasks) == 1) and not wide:
        yield from _run_here(tasks, data)
        return
    room = (lambda: jobs) if wide else None
    with _pool(tasks, data, jobs, gpus) as pool:
        workers: set[BaseProcess] = set()

        def submit(task: Task) -> Future[Any]:
            if width(task) > 1:
                return launch(task, data)
            future = _submit(pool, task)
            workers.update(mp.active_children())
            return future

        try:
            with launches(pretrain_processes, max(1, (len(gpus) or jobs) // pretrain_processes), gpus) as launch:
                for index, future in in_turn(submit, tasks, encoders_awaited(tasks), room, width):
                    yield index, future.result()
        except BrokenProcessPool as error:
            raise UserError(_why_broken(list(workers))) from error
        except BaseException as error:  # a failed task, Ctrl-C, SIGTERM, or a caller that stops listening
            _stop(pool, error, patient)
            raise


@contextmanager
def meanwhile(tasks: Sequence[Task], data: Dataset | None, jobs: int) -> Iterator[None]:
    """Work on `tasks` in `jobs` processes while the body runs.

    At the end of the body running tasks may finish and waiting ones are dropped: the caller checks which tasks are
    done. A task's failure is raised at the end of the body.
    """
    if jobs == 0 or not tasks:
        yield
        return
    with _pool(tasks, data, jobs) as pool:
        futures = [_submit(pool, task) for task in tasks]
        workers = mp.active_children()
        try:
            yield
        except BaseException as error:
            _stop(pool, error)
            raise
        pool.shutdown(wait=True, cancel_futures=True)
    for future in futures:
        if not future.cancelled():
            try:
                future.result()
            except BrokenProcessPool as error:
                raise UserError(_why_broken(workers)) from error


def _submit(pool: ProcessPoolExecutor, task: Task) -> Future[Any]:
    """Hand over a task; the first ones start the workers, which receive the data set."""
    try:
        with huge_pages():
            return pool.submit(_call, task)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UserError(
            f"dataset: it cannot be sent to worker processes ({error}): define its class at the top of a module, or "
            "give `jobs=1`"
        ) from error


def _why_broken(workers: Sequence[BaseProcess]) -> str:
    return NO_GUARD if left_for_want_of_guard(workers) else _KILLED


def _stop(pool: ProcessPoolExecutor, error: BaseException, patient: bool = True) -> None:
    """Cancel pending tasks and wait for running ones; on SIGTERM terminate those too, and always if not `patient`."""
    if isinstance(error, PreemptionError) or not patient:
        for process in mp.active_children():
            process.terminate()
    pool.shutdown(wait=True, cancel_futures=True)


def _pool(tasks: Sequence[Task], data: Dataset | None, jobs: int, gpus: Sequence[str] = ()) -> ProcessPoolExecutor:
    count = min(jobs, len(tasks))
    require_open_files(count, "`jobs=1`")
    context = mp.get_context("spawn")
    masks = None
    if len(gpus) > 1:
        masks = context.SimpleQueue()
        for gpu in islice(cycle(gpus), count):
            masks.put(gpu)
    return ProcessPoolExecutor(count, mp_context=context, initializer=_start, initargs=(data, masks))


def _run_here(tasks: Sequence[Task], data: Dataset | None) -> Iterator[tuple[int, Any]]:
    threads = torch.get_num_threads()
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    try:
        for index, (function, arguments) in enumerate(tasks):
            yield index, function(*arguments, data)
    finally:
        torch.set_num_threads(threads)

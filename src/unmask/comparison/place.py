"""Where independent pieces of work run: the processes of this machine, or workers elsewhere."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from unmask.comparison.dask_workers import open_dask
from unmask.comparison.job_scripts import open_jobs
from unmask.comparison.pieces import Task
from unmask.comparison.workers import LocalProcesses, default_jobs, visible_gpus
from unmask.config import CompareConfig
from unmask.config.cluster import DASK, LOCAL, ClusterConfig
from unmask.config.validation import require_at_least
from unmask.data.load import Dataset

TryOut = Callable[[Task, Dataset], Any]
"""See `Place.try_out`."""


class Place(Protocol):
    """Workers that do one piece at a time, each with one thread."""

    @property
    def jobs(self) -> int:
        """Pieces at a time."""
        ...

    @property
    def pretrains_in_workers(self) -> bool:
        """Whether every pretraining is a piece for a worker, however few there are."""
        ...

    def run(self, tasks: Sequence[Task], data: Dataset | None = None) -> Iterator[tuple[int, Any]]:
        """Run every task as function(*arguments, data).

        A trial whose pretraining is among the tasks starts after it. Tasks that the caller appends between two yields
        are run as well. Yields the index and the result of each as it ends.

        Raises:
            UserError: a task failed. Finished tasks keep their files.
        """
        ...

    def try_out(self, task: Task, data: Dataset) -> Any:
        """The result of a task on a worker elsewhere, if one has joined, else None; leaves nothing in the folder."""
        ...

    def notes(self) -> list[str]:
        """What a reader of the table must know about the workers."""
        ...


@contextmanager
def foreseen_place(config: CompareConfig, out: Path) -> Iterator[tuple[int, bool, TryOut | None]]:
    """How many trainings will run at a time, whether pretrainings are pieces for workers, and `Place.try_out` of the
    workers that have joined, while the body runs. No job is submitted.

    Raises:
        UserError: see `open_place`.
    """
    if config.cluster.submits:
        yield config.cluster.workers, True, None
        return
    with open_place(config.cluster, out, config.jobs, config.pretrain_processes) as place:
        yield place.jobs, place.pretrains_in_workers, place.try_out


@contextmanager
def open_place(
    cluster: ClusterConfig,
    out: Path | None,
    jobs: int | None = None,
    pretrain_processes: int = 1,
    needed: Sequence[Path] = (),
) -> Iterator[Place]:
    """The place that a configuration names, while the body runs.

    Args:
        cluster: where it is.
        out: folder of the work; None if pieces have no data and write no files.
        jobs: processes, if the place is this machine. Default: the number of cores, or of GPUs.
        pretrain_processes: processes per pretraining.
        needed: paths that workers elsewhere must see.

    Raises:
        UserError: it cannot be reached, or its workers are not suitable.
    """
    if cluster.submits:
        with open_jobs(cluster, out, pretrain_processes, needed) as submitted:
            yield submitted
    elif cluster.on.startswith(DASK):
        with open_dask(cluster.on.removeprefix(DASK), out, None, pretrain_processes, needed) as workers:
            yield workers
    else:
        yield LocalProcesses(jobs or default_jobs(), visible_gpus(), pretrain_processes)


@contextmanager
def open_elsewhere(
    cluster: ClusterConfig, near: Path | None = None, needed: Sequence[Path] = (), processes: int = 1
) -> Iterator[Callable[..., Any] | None]:
    """`Place.run` of a cluster's workers, or of processes on this machine, while the body runs; None if this process is
    the place.

    Args:
        cluster: where it is.
        near: folder that all workers must see, which holds the data meanwhile; None if pieces have no data.
        needed: other paths that they must see.
        processes: number of processes, if the place is this machine; only for pieces without data.

    Raises:
        UserError: see `open_place`; `workers` is below 1.
    """
    if cluster.on == LOCAL:
        require_at_least("workers", processes, 1)
        yield LocalProcesses(processes, patient=False).run if processes > 1 else None
    elif near is None:
        with open_place(cluster, None) as place:
            yield place.run
    else:
        near.mkdir(parents=True, exist_ok=True)
        with (
            TemporaryDirectory(dir=near, prefix=".data.") as shared,
            open_place(cluster, Path(shared), needed=(Path(shared), *needed)) as place,
        ):
            yield place.run

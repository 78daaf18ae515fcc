"""Where the trainings of a comparison run: the processes of this machine, or workers elsewhere."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from unmask.comparison.dask_workers import open_dask
from unmask.comparison.job_scripts import open_jobs
from unmask.comparison.pieces import Task
from unmask.comparison.workers import LocalProcesses, default_jobs, visible_gpus
from unmask.config import CompareConfig
from unmask.config.cluster import DASK
from unmask.data.load import Dataset


class Place(Protocol):
    """Workers that train one piece at a time, each with one thread."""

    @property
    def jobs(self) -> int:
        """Trainings at once."""
        ...

    @property
    def pretrains_in_workers(self) -> bool:
        """Whether every pretraining is a piece for a worker, however few there are."""
        ...

    def run(self, tasks: Sequence[Task], data: Dataset) -> Iterator[int]:
        """Run every task as function(*arguments, data); yields the number finished each time one finishes.

        A trial whose pretraining is among the tasks begins after it. Tasks that the caller appends between two yields
        are run as well.

        Raises:
            UserError: a task failed. What is finished keeps its files.
        """
        ...

    def notes(self) -> list[str]:
        """What a reader of the table must know of the workers."""
        ...


def foreseen_jobs(config: CompareConfig, out: Path) -> tuple[int, bool]:
    """How many trainings will run at once, and whether pretrainings are pieces for workers. No job is submitted.

    Raises:
        UserError: see `open_place`.
    """
    if config.cluster.submits:
        return config.cluster.workers, True
    with open_place(config, out) as place:
        return place.jobs, place.pretrains_in_workers


@contextmanager
def open_place(config: CompareConfig, out: Path) -> Iterator[Place]:
    """The place that a configuration names, while the body runs.

    Raises:
        UserError: it cannot be reached, or its workers will not do.
    """
    if config.cluster.submits:
        with open_jobs(config.cluster, out) as jobs:
            yield jobs
    elif config.cluster.on.startswith(DASK):
        with open_dask(config.cluster.on.removeprefix(DASK), out) as workers:
            yield workers
    else:
        yield LocalProcesses(config.jobs or default_jobs(), visible_gpus())

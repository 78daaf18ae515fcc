"""Where the trainings of a comparison run: the processes of this machine, or workers elsewhere."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from unmask.comparison.pieces import Task
from unmask.comparison.workers import LocalProcesses, default_jobs, visible_gpus
from unmask.config import CompareConfig
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

        A trial whose pretraining is among the tasks begins after it.

        Raises:
            UserError: a task failed. What is finished keeps its files.
        """
        ...

    def notes(self) -> list[str]:
        """What a reader of the table must know of the workers."""
        ...


@contextmanager
def open_place(config: CompareConfig, out: Path) -> Iterator[Place]:
    """The place that a configuration names, while the body runs."""
    yield LocalProcesses(config.jobs or default_jobs(), visible_gpus())

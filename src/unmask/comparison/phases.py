"""The phases of a comparison: trainings are handed to the place where they run, and a line shows their progress."""

from collections.abc import Callable, Sequence
from functools import partial

import torch

from unmask.comparison.pieces import Task, in_order
from unmask.comparison.place import Place
from unmask.comparison.progress import Progress
from unmask.comparison.tasks import Work, newly_decided, run_pretraining
from unmask.comparison.workers import meanwhile
from unmask.data.load import Dataset
from unmask.training.step import Step


def pretrain_all(work: Work, place: Place, line: Progress) -> None:
    """Run every pretraining and, on free cores, the trials that need none.

    One of several pretrainings has one thread, a single one the cores that trials leave: its last bits depend on
    `jobs`. If every pretraining is a piece for a worker, trials that start from it follow it directly.
    """
    tasks, others, jobs = work.pretrainings(), work.sure_trials(pretrained=False), place.jobs
    if work.pretrains_in_workers or len(tasks) >= max(jobs, 2):
        following = work.sure_trials(pretrained=True) if work.pretrains_in_workers else []
        together = [*tasks, *others, *following] if tasks else []
        run_phase("pretraining", together, work.data, place, line, joining=newly_decided(work))
        return
    threads = torch.get_num_threads()
    helpers = jobs // 2 if tasks and others else 0
    line.begin("pretraining", tasks)
    with meanwhile(others, work.data, helpers):  # the pretraining runs here, on the other cores
        torch.set_num_threads(max(1, threads - helpers))
        try:
            for done, (_, (one, folder)) in enumerate(tasks):
                moved = partial(_moved, line, done)
                run_pretraining(one, folder, work.data, on_step=moved)
        finally:
            torch.set_num_threads(threads)


def _moved(line: Progress, done: int, step: Step) -> None:
    line.finished(done + step.step / step.total)


def run_phase(
    phase: str,
    tasks: Sequence[Task],
    data: Dataset,
    place: Place,
    line: Progress,
    *,
    final: bool = True,
    joining: Callable[[], list[Task]] = list,
) -> None:
    """Run the tasks of a phase, and those that `joining` returns whenever one is finished.

    Args:
        place: where they run; its notes are printed as they arise.
        final: whether no further tasks of the phase follow.
        joining: returns tasks that can start now.

    Raises:
        UserError: a training failed.
    """
    growing = in_order(tasks, line.seconds, place.jobs)
    line.begin(phase, growing, final=final)
    seconds = 0.0
    for done, (index, _) in enumerate(place.run(growing, data) if growing else (), 1):
        seconds += line.seconds(growing[index])
        line.finished(done, seconds)
        line.note(place.notes())
        joined = joining()
        growing += joined
        line.join(joined)

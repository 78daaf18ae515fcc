"""Which steps of a comparison are timed before it starts, and where: on one of the workers, else here."""

import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from unmask.comparison.forecast import Ahead, is_probe
from unmask.comparison.pieces import Task, config_of
from unmask.comparison.plan import all_trials, trial_config
from unmask.comparison.tasks import Work
from unmask.config import ClassifyConfig, PretrainConfig
from unmask.data.load import Dataset
from unmask.profiling.forecast import device_name
from unmask.profiling.step_times import StepTimes, measure_steps


@dataclass(frozen=True)
class Timed:
    """One training of each kind."""

    pretraining: PretrainConfig | None
    training: ClassifyConfig | None
    probe: ClassifyConfig | None
    threads: int
    """Processes of the pretraining."""


def time_steps(work: Work, jobs: int, try_out: Callable[[Task, Dataset], Any] | None = None) -> StepTimes:
    """Take a few steps of each kind to come, with the threads that it will have.

    Those of the audit, which runs on the client, are taken here; the others where `try_out` runs a task, if it does.

    Args:
        work: work of the comparison.
        jobs: trainings at a time.
        try_out: see `Place.try_out`.
    """
    ahead = Ahead.of(work)
    pretraining = [one for one in map(config_of, ahead.pretrainings) if isinstance(one, PretrainConfig)]
    on_labels = [*ahead.tuning, *ahead.trials]
    any_trial = [one for one in map(config_of, on_labels) if isinstance(one, ClassifyConfig)]
    evaluated = any_trial or [trial_config(work.config, key, 0, work.materials) for key in all_trials(work.config)]
    training = [one for one, task in zip(any_trial, on_labels, strict=True) if not is_probe(task)]
    timed = Timed(
        pretraining=next(iter(pretraining), None),
        training=max(training, key=lambda one: one.recipe.head_steps, default=None),
        probe=evaluated[0] if any_trial or ahead.audited else None,
        threads=1 if ahead.pretrains_in_workers(jobs) else max(1, torch.get_num_threads() - jobs // 2),
    )
    task: Task = (_measure_there, ("the timing of steps", timed))
    times: StepTimes | None = None if try_out is None else try_out(task, work.data)
    if times is None:
        return _measure(timed, work.data, audit=ahead.audited > 0)
    if not ahead.audited:
        return times
    here = _measure(replace(timed, pretraining=None, training=None), work.data, audit=True)
    return replace(times, audited=here.audited)


def _measure_there(name: str, timed: Timed, data: Dataset) -> StepTimes:
    return replace(_measure(timed, data, audit=False), on=f"{socket.gethostname()}: {device_name()}")


def _measure(timed: Timed, data: Dataset, *, audit: bool) -> StepTimes:
    return measure_steps(
        data,
        pretraining=timed.pretraining,
        training=timed.training,
        probe=timed.probe,
        threads=timed.threads,
        audit=audit,
    )

"""Pieces of a comparison: trainings as tasks, which of them wait for which, and in which order they are handed out."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any

from unmask.comparison.order_of_work import longest_chains, order_of_work
from unmask.comparison.plan import TrialKey, TuningKey
from unmask.config import ClassifyConfig, PretrainConfig
from unmask.runs.layout import ENCODER_FILE, TRIALS, TUNING

Task = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function and its arguments, but for the last one, the data or None. Of a training one is its configuration."""
_LOOK = 1.0
"""Seconds after which room is asked for again though nothing has finished."""


def config_of(task: Task) -> PretrainConfig | ClassifyConfig | None:
    """The configuration of the training that a task is; None of a task that trains nothing."""
    return next((one for one in task[1] if isinstance(one, PretrainConfig | ClassifyConfig)), None)


def folder_of(task: Task) -> Path | None:
    """The run folder of a pretraining; None of another task."""
    return task[1][1] if isinstance(config_of(task), PretrainConfig) else None


def file_of(task: Task) -> Path | None:
    """The file that is written last, and means that the training is finished; None of a task that trains nothing."""
    if (folder := folder_of(task)) is not None:
        return folder / ENCODER_FILE
    key = next((one for one in task[1] if isinstance(one, TrialKey | TuningKey)), None)
    if key is None:
        return None
    out = next(one for one in task[1] if isinstance(one, Path))
    return (TRIALS if isinstance(key, TrialKey) else TUNING).path(out, key.name)


def name_of(task: Task) -> str:
    """What a message calls it: what trains nothing by its first argument, a text or a function."""
    folder, file = folder_of(task), file_of(task)
    if folder is not None:
        return f"pretraining {folder.name}"
    if file is not None:
        return f"trial {file.stem}"
    subject = (*task[1], task[0])[0]
    return str(getattr(subject, "__name__", subject))


def encoders_awaited(tasks: Sequence[Task]) -> list[int | None]:
    """For each task the index of the pretraining among them from which it starts; None where it can begin at once."""
    configs = [config_of(task) for task in tasks]
    made = {str(folder): index for index, folder in enumerate(map(folder_of, tasks)) if folder is not None}
    return [made.get(config.init or "") if isinstance(config, ClassifyConfig) else None for config in configs]


def in_order(tasks: Sequence[Task], seconds: Callable[[Task], float], workers: int) -> list[Task]:
    """Tasks in the order of `order_of_work`; `seconds` says about how long one takes, alone."""
    after = [() if one is None else (one,) for one in encoders_awaited(tasks)]
    draws = [next((key.draw for key in task[1] if isinstance(key, TrialKey)), None) for task in tasks]
    return [tasks[i] for i in order_of_work(longest_chains(list(map(seconds, tasks)), after), draws, workers)]


def in_turn(
    submit: Callable[[Task], Future[Any]],
    tasks: Sequence[Task],
    awaited: Sequence[int | None],
    room: Callable[[], int] | None = None,
    width: Callable[[Task], int] = lambda _: 1,
    is_begun: Callable[[Task, Future[Any]], bool] = lambda _, __: False,
) -> Iterator[tuple[int, Future[Any]]]:
    """Hand out tasks in their order, each once the one it waits for is done; yields index and future of what has ended.

    Tasks that wait for a failed one are left out.

    Args:
        submit: hands a task to a worker.
        tasks: in the order in which they are wanted. Those that the caller appends meanwhile are handed out, too.
        awaited: for each the index of the task that must be done before; None for none. Appended ones wait for none.
        room: how many may be handed out at a time, asked again every second; what it raises ends the work. Default:
            all.
        width: for how many a task counts.
        is_begun: whether a task that has come back is to be handed out again, ahead of others.
    """
    waiting, running, known = dict[int, Task](), dict[Future[Any], int](), 0
    done: set[int | None] = {None}
    while len(tasks) > known or waiting or running:
        waiting |= {index: tasks[index] for index in range(known, len(tasks))}
        known = len(tasks)
        ready = [index for index in waiting if index >= len(awaited) or awaited[index] in done]
        busy = [width(tasks[index]) for index in running.values()]
        for index in ready if room is None else fitting(ready, lambda i: width(tasks[i]), busy, room()):
            running[submit(waiting.pop(index))] = index
        if not running and not ready:
            return
        ended, _ = wait(running, timeout=_LOOK, return_when=FIRST_COMPLETED)
        for future in ended:
            index = running.pop(future)
            if is_begun(tasks[index], future):
                waiting = {index: tasks[index], **waiting}
                continue
            if not future.cancelled() and future.exception() is None:
                done.add(index)
            yield index, future


def fitting(ready: Sequence[int], width: Callable[[int], int], busy: Sequence[int], room: int) -> list[int]:
    """Those of the tasks that are ready, in their order, for which there is room beside those at work.

    A narrow task passes a wide one that has to wait only where it leaves the room that the wide one needs once others
    of its kind are done. What is wider than all room has it when nothing else is at work.
    """
    chosen, at_work, awaited = list[int](), list(busy), 0
    for index in ready:
        own, narrow = width(index), sum(one for one in at_work if one < awaited)
        if (sum(at_work) + own <= room or not at_work) and (not awaited or narrow + own + awaited <= room):
            chosen.append(index)
            at_work.append(own)
        elif own > 1:
            awaited = max(awaited, own)
        else:
            break
    return chosen

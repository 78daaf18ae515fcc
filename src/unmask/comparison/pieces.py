"""Pieces of a comparison: trainings as tasks, their dependencies, and the order in which they are handed out."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any

from unmask.comparison.order_of_work import longest_chains, order_of_work
from unmask.comparison.plan import TrialKey, TuningKey
from unmask.config import ClassifyConfig, PretrainConfig
from unmask.runs.layout import ENCODER_FILE, TRIALS, TUNING

Task = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function and its arguments except the last, the data or None. A training's configuration is among them."""
_LOOK = 1.0
"""Seconds after which room is queried again although nothing has finished."""


def config_of(task: Task) -> PretrainConfig | ClassifyConfig | None:
    """The configuration of a task's training; None for a task that trains nothing."""
    return next((one for one in task[1] if isinstance(one, PretrainConfig | ClassifyConfig)), None)


def folder_of(task: Task) -> Path | None:
    """The run folder of a pretraining; None for another task."""
    return task[1][1] if isinstance(config_of(task), PretrainConfig) else None


def file_of(task: Task) -> Path | None:
    """The file written last, which means that the training is finished; None for a task that trains nothing."""
    if (folder := folder_of(task)) is not None:
        return folder / ENCODER_FILE
    key = next((one for one in task[1] if isinstance(one, TrialKey | TuningKey)), None)
    if key is None:
        return None
    out = next(one for one in task[1] if isinstance(one, Path))
    return (TRIALS if isinstance(key, TrialKey) else TUNING).path(out, key.name)


def phase_of(task: Task) -> str | None:
    """The phase that a task belongs to, in whichever it is run: pretraining, tuning or trials; None for others."""
    if folder_of(task) is not None:
        return "pretraining"
    key = next((one for one in task[1] if isinstance(one, TrialKey | TuningKey)), None)
    return None if key is None else "trials" if isinstance(key, TrialKey) else "tuning"


def name_of(task: Task) -> str:
    """A task's name in messages; if it trains nothing, its first argument, a text or a function."""
    folder, file = folder_of(task), file_of(task)
    if folder is not None:
        return f"pretraining {folder.name}"
    if file is not None:
        return f"trial {file.stem}"
    subject = (*task[1], task[0])[0]
    return str(getattr(subject, "__name__", subject))


def encoders_awaited(tasks: Sequence[Task]) -> list[int | None]:
    """For each task the index of the pretraining among them that it starts from; None if it can start right away."""
    configs = [config_of(task) for task in tasks]
    made = {str(folder): index for index, folder in enumerate(map(folder_of, tasks)) if folder is not None}
    return [made.get(config.init or "") if isinstance(config, ClassifyConfig) else None for config in configs]


def in_order(tasks: Sequence[Task], seconds: Callable[[Task], float], workers: int) -> list[Task]:
    """Tasks in the order of `order_of_work`; `seconds` estimates how long one takes on its own."""
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
    """Hand out tasks in order, each once the one it waits for is done; yields index and future of ended tasks.

    Tasks that wait for a failed one are left out.

    Args:
        submit: hands a task to a worker.
        tasks: in the desired order. Those that the caller appends meanwhile are handed out too.
        awaited: for each task the index of the one that must be done before, or None. Appended ones wait for none.
        room: how many may be handed out at a time, queried every second; if it raises, the work ends. Default: all.
        width: how much room a task takes.
        is_begun: whether a task that came back must be handed out again, before others.
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
    """The ready tasks, in order, for which there is room beside those at work.

    A narrow task passes a waiting wide one only if it leaves the room that the wide one needs once others of its kind
    are done. A task wider than all room starts when nothing else is at work.
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

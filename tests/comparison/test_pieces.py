"""Pieces of a comparison: what waits for what, how many at a time, and which GPU a worker sees."""

import os
from concurrent.futures import Future
from pathlib import Path

import pytest

import tiny
from unmask.comparison.pieces import Task, encoders_awaited, in_order, in_turn
from unmask.comparison.workers import LocalProcesses, run_tasks
from unmask.config import ClassifyConfig, PretrainConfig


def _do(*_: object) -> None:
    """What a task of these tests would call."""


PRETRAINING: Task = (_do, (PretrainConfig(), Path("out/pretrainings/0")))
AFTER: Task = (_do, (ClassifyConfig(init="out/pretrainings/0"), "after"))
FREE: Task = (_do, (ClassifyConfig(), "free"))


def test_a_trial_waits_for_its_own_pretraining_alone() -> None:
    """Not for another one, and not where its encoder is there already."""
    other: Task = (_do, (ClassifyConfig(init="out/pretrainings/1"), "other"))
    assert encoders_awaited([AFTER, PRETRAINING, FREE, other, (_do, (1,))]) == [1, None, None, None, None]


def _finished(failing: tuple[int, ...], awaited: list[int | None], room: int) -> tuple[list[int], int]:
    """The order in which tasks begin, and the most that were handed out at a time."""
    begun: list[int] = []
    open_now: set[int] = set()
    most = 0

    def submit(task: Task) -> Future[None]:
        nonlocal most
        future: Future[None] = Future()
        begun.append(task[1][0])
        open_now.add(task[1][0])
        most = max(most, len(open_now))
        if task[1][0] in failing:
            future.set_exception(ValueError("no"))
        else:
            future.set_result(None)
        return future

    for index, _ in in_turn(submit, [(_do, (i,)) for i in range(len(awaited))], awaited, lambda: room):
        open_now.discard(index)
    return begun, most


def test_tasks_are_handed_out_in_turn() -> None:
    """In their order but for those that wait, never more than there is room for; what waits for a failed one is not."""
    awaited: list[int | None] = [None, 0, None, None, 2, 1]
    assert _finished((), awaited, 1) == ([0, 1, 2, 3, 4, 5], 1)
    begun, most = _finished((), awaited, 2)
    assert sorted(begun) == [0, 1, 2, 3, 4, 5]
    assert begun[:2] == [0, 2]
    assert most == 2
    assert _finished((0,), awaited, 1)[0] == [0, 2, 3, 4]


def test_tasks_that_join_are_handed_out() -> None:
    """Whenever something has ended, at the very end too."""
    tasks: list[Task] = [(_do, (0,))]
    begun: list[int] = []

    def submit(task: Task) -> Future[None]:
        begun.append(task[1][0])
        future: Future[None] = Future()
        future.set_result(None)
        return future

    for index, _ in in_turn(submit, tasks, [None]):
        if index < 3:
            tasks.append((_do, (index + 1,)))
    assert begun == [0, 1, 2, 3]


def test_the_longest_chain_goes_first() -> None:
    """A pretraining with what waits for it ahead of a longer trial; one worker keeps the order given."""
    tasks = [FREE, AFTER, PRETRAINING]
    seconds = {id(FREE): 5.0, id(AFTER): 3.0, id(PRETRAINING): 4.0}
    assert in_order(tasks, lambda task: seconds[id(task)], 2) == [PRETRAINING, FREE, AFTER]
    assert in_order(tasks, lambda task: seconds[id(task)], 1) == tasks


def _write_mask(file: Path, data: tiny.Dataset | None) -> None:
    mask = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
    file.write_text(mask if data is None else f"{mask} {data.readable.pixels.values.is_shared()}")  # type: ignore[attr-defined]


@pytest.mark.slow
def test_every_worker_sees_one_of_several_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three workers on two GPUs take them in turn, and share the memory of the images. One GPU is everybody's."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    files = [tmp_path / str(i) for i in range(6)]
    place = LocalProcesses(3, ("4", "GPU-5"))
    assert place.pretrains_in_workers
    data = tiny.load_data(tiny.DATA, labels=True, progress=False)
    assert sorted(place.run([(_write_mask, (file,)) for file in files], data)) == [(i, None) for i in range(6)]
    seen = {file.read_text() for file in files}
    assert seen <= {"4 True", "GPU-5 True"}
    assert seen
    assert not LocalProcesses(3, ("4",)).pretrains_in_workers
    list(run_tasks([(_write_mask, (file,)) for file in files[:2]], None, 2, ("4",)))
    assert files[0].read_text() == "all"

"""What a worker does with a piece, in this process."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from distributed import Reschedule

import tiny
from unmask.comparison import worker_side
from unmask.comparison.pieces import Task, file_of, name_of
from unmask.comparison.tasks import Work
from unmask.comparison.tries import PieceError
from unmask.comparison.worker_side import Errand, describe_worker, run_piece
from unmask.config import CompareConfig
from unmask.data.load import load_data
from unmask.data.shared_file import DataFile, write_shared
from unmask.errors import PreemptionError
from unmask.preemption import request_stop

CONFIG = tiny.comparison(
    pretrain=tiny.pretrain_recipe(target=tiny.LINEAR_PIXELS, steps=60, batch_size=16), arms=("mrp", "scratch_same")
)

ERRAND = Errand(describe_worker())


@pytest.mark.slow
def test_a_worker_that_leaves(tmp_path: Path) -> None:
    """Its pretraining saves and ends after a step; on the next worker it goes on, to the bits of one never stopped."""
    data = load_data(tiny.DATA, labels=True, progress=False)
    file = write_shared(data, tmp_path / "data.tmp")
    whole, task = (_pretraining(CONFIG, tmp_path / name, data) for name in ("whole", "left"))
    run_piece(whole, file, ERRAND)
    folder = task[1][1]
    threading.Thread(target=_stop_when, args=(folder / "metrics.jsonl",)).start()
    with pytest.raises(Reschedule):
        run_piece(task, file, ERRAND)
    made, expected = file_of(task), file_of(whole)
    assert made is not None
    assert expected is not None
    assert not made.exists()
    run_piece(task, file, ERRAND)
    assert made.read_bytes() == expected.read_bytes()
    assert name_of(task) == "pretraining seed_0"


def _pretraining(config: CompareConfig, out: Path, data: tiny.Dataset) -> Task:
    return Work(config, out, data, pretrains_in_workers=True).pretrainings()[0]


def _stop_when(file: Path) -> None:
    while not (file.exists() and file.read_text()):
        time.sleep(0.001)
    request_stop()


def test_a_pretraining_is_spread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the processes that the errand names; a trial is not, and what stops them hands the piece out again."""
    launched: list[tuple[Task, int]] = []

    def launch_piece(task: Task, file: DataFile, processes: int, asked_to_stop: Callable[[], bool]) -> None:
        launched.append((task, processes))
        if len(launched) > 1:
            request_stop()
            assert asked_to_stop()
            raise PreemptionError("saved")

    monkeypatch.setattr("unmask.comparison.worker_side.launch_piece", launch_piece)
    monkeypatch.setattr("unmask.comparison.worker_side.describe_worker", lambda: replace(ERRAND.client, cores=2))
    data = load_data(tiny.DATA, labels=True, progress=False)
    file, task = write_shared(data, tmp_path / "data.tmp"), _pretraining(CONFIG, tmp_path, data)
    assert run_piece(task, file, replace(ERRAND, processes=2)).is_whole
    with pytest.raises(Reschedule):
        run_piece(task, file, replace(ERRAND, processes=2))
    assert launched == [(task, 2)] * 2
    assert run_piece((_count, ()), file, replace(ERRAND, processes=2)).result == len(data.readable)


def _preempted(data: None) -> None:
    raise PreemptionError("stopped")


def test_a_trial_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is handed out again, as often as it takes; where its worker had time for nothing else, that is a failure."""
    monkeypatch.setattr(worker_side, "_NUMBERS", count())
    with pytest.raises(PieceError, match="had done nothing else: give workers more time"):
        run_piece((_preempted, ()), None, ERRAND)
    with pytest.raises(Reschedule):
        run_piece((_preempted, ()), None, ERRAND)


def _fail(data: None) -> None:
    raise RuntimeError("a process that decodes was told to end")


def test_failures_of_a_worker_that_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM may come to processes of the piece, too: what follows from that is no failure."""
    with pytest.raises(PieceError, match="told to end"):
        run_piece((_fail, ()), None, ERRAND)
    monkeypatch.setattr(worker_side, "is_leaving", iter((False, True)).__next__)
    with pytest.raises(Reschedule):
        run_piece((_fail, ()), None, ERRAND)
    monkeypatch.setattr(worker_side, "is_leaving", lambda: True)
    with pytest.raises(Reschedule):
        run_piece((_fail_test, ()), None, ERRAND)


def _fail_test(data: None) -> None:
    pytest.fail("a worker that leaves begins nothing")


def _count(data: tiny.Dataset) -> int:
    return len(data.readable)


def test_a_worker_of_other_versions_does_nothing(tmp_path: Path) -> None:
    """It may have joined a moment ago: the piece is handed out again."""
    with pytest.raises(Reschedule):
        run_piece((_count, ()), None, Errand(replace(describe_worker(), python="2.7")))

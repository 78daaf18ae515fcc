"""What a worker does with a piece, in this process."""

import threading
import time
from pathlib import Path

import pytest
from distributed import Reschedule

import tiny
from unmask.comparison.pieces import Task, file_of, name_of
from unmask.comparison.tasks import Work
from unmask.comparison.worker_side import run_piece
from unmask.config import CompareConfig
from unmask.data.load import load_data
from unmask.data.shared_file import write_shared
from unmask.preemption import request_stop

CONFIG = CompareConfig(
    data=tiny.DATA,
    encoder=tiny.OVERLAPPING_PATCHNET,
    pretrain=tiny.pretrain_recipe(target=tiny.LINEAR_PIXELS, steps=60, batch_size=16),
    budgets=(3,),
    pretrainings=1,
    arms=("mrp", "scratch_same"),
)


@pytest.mark.slow
def test_a_worker_that_leaves(tmp_path: Path) -> None:
    """Its pretraining saves and ends after a step; on the next worker it goes on, to the bits of one never stopped."""
    data = load_data(tiny.DATA, labels=True, progress=False)
    file = write_shared(data, tmp_path / "data.tmp")
    whole, task = (_pretraining(CONFIG, tmp_path / name, data) for name in ("whole", "left"))
    run_piece(whole, file)
    folder = task[1][1]
    threading.Thread(target=_stop_when, args=(folder / "metrics.jsonl",)).start()
    with pytest.raises(Reschedule):
        run_piece(task, file)
    made, expected = file_of(task), file_of(whole)
    assert made is not None
    assert expected is not None
    assert not made.exists()
    run_piece(task, file)
    assert made.read_bytes() == expected.read_bytes()
    assert name_of(task) == "pretraining seed_0"


def _pretraining(config: CompareConfig, out: Path, data: tiny.Dataset) -> Task:
    return Work(config, out, data, pretrains_in_workers=True).pretrainings()[0]


def _stop_when(file: Path) -> None:
    while not (file.exists() and file.read_text()):
        time.sleep(0.001)
    request_stop()

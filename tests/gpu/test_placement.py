"""Pieces of a comparison on the GPUs of this machine, one piece at a time on each; two of them at most are used."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from unmask.comparison.launch_piece import GPU_MASK
from unmask.comparison.run import compare
from unmask.comparison.workers import LocalProcesses, visible_gpus
from unmask.config import ClassifyRecipe, OptimizerConfig
from unmask.config.cluster import ClusterConfig
from unmask.data.load import load_data
from unmask.runs.files import read_json
from unmask.training.engine import build_engine

pytestmark = pytest.mark.filterwarnings("ignore")  # of Dask's own about ports, and sockets that it closes late

GPUS = visible_gpus()[:2]
WORKERS = max(1, len(GPUS))
"""One for each; without a GPU, where only the bodies of these tests are tried, one."""
CONFIG = tiny.comparison(
    finetune=ClassifyRecipe(optimizer=OptimizerConfig(steps=3, batch_size=8, lr=3e-3), head_steps=1),
    pretrainings=2,
    arms=("mrp", "scratch_same"),
)


def _where(number: int, data: Any) -> tuple[str, int, str]:
    """Of a piece that takes a second: the device of its numbers, how many its process sees, and which one it is."""
    images = data.pretrain.raw(torch.tensor([number])).to(build_engine("no").device)
    time.sleep(1)
    if images.device.type != "cuda":
        return str(images.device), torch.cuda.device_count(), ""
    return str(images.device), torch.cuda.device_count(), str(torch.cuda.get_device_properties(images.device).uuid)


def check(found: Sequence[tuple[str, int, str]], seen: int) -> None:
    """Every piece was on the first GPU that its process sees, and all GPUs have had some."""
    assert {device for device, _, _ in found} == {"cuda:0" if GPUS else "cpu"}
    assert {count for _, count, _ in found} == {seen}
    assert len({name for _, _, name in found}) == WORKERS


def require_finished(out: Path) -> None:
    """The whole table is there."""
    summary = read_json(out / "summary.json")
    assert summary["verdicts"]
    assert len(list((out / "trials").glob("*.json"))) == len(CONFIG.budgets) * CONFIG.planned_draws * 2
    assert len(list(out.glob("pretrain/*/encoder.safetensors"))) == 2


def test_processes_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sees one of several GPUs; with one all is done on that."""
    data = load_data(tiny.DATA, labels=True, progress=False)
    place = LocalProcesses(WORKERS, GPUS)
    found = dict(place.run([(_where, (number,)) for number in range(4 * WORKERS)], data))
    check([found[number] for number in sorted(found)], seen=min(1, len(GPUS)) if WORKERS > 1 else len(visible_gpus()))
    require_finished(compare(replace(CONFIG, jobs=WORKERS), tmp_path / "out", progress=False))


@pytest.fixture
def address() -> Iterator[str]:
    """A scheduler with a worker for each GPU, started as docs/scaling.md says."""
    distributed = pytest.importorskip("distributed", reason="needs the extra `cluster`")
    workers = {
        index: {
            "cls": distributed.Nanny,
            "options": {"nthreads": 1, "env": {GPU_MASK: GPUS[index] if GPUS else os.environ.get(GPU_MASK, "")}},
        }
        for index in range(WORKERS)
    }
    scheduler = {"cls": distributed.Scheduler, "options": {"dashboard": False}}
    with distributed.SpecCluster(workers=workers, scheduler=scheduler, silence_logs=50) as cluster:
        yield cluster.scheduler_address


def test_workers_of_a_cluster(address: str, tmp_path: Path) -> None:
    """Each has the GPU that its mask names, and the table is finished."""
    from unmask.comparison.dask_workers import open_dask

    data = load_data(tiny.DATA, labels=True, progress=False)
    with open_dask(address, tmp_path) as place:
        found = dict(place.run([(_where, (number,)) for number in range(4 * WORKERS)], data))
        assert {facts.gpus for facts in place.roster.facts.values()} == {min(1, len(GPUS))}
    check([found[number] for number in sorted(found)], seen=min(1, len(GPUS)))
    config = replace(CONFIG, cluster=ClusterConfig(on=f"dask:{address}"))
    require_finished(compare(config, tmp_path / "out", progress=False))

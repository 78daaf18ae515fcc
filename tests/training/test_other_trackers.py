"""Weights & Biases, MLflow and trackio, each in its true package, without a network: what they keep is metrics.jsonl.

None of them is installed for development (80 to 400 MB with what they pull in); where a package is missing its test is
skipped. By hand: pip install 'unmask[wandb,mlflow,trackio]' and run this file.
"""

import json
import os
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from unmask.runs.metrics import read_metrics

# Foreign packages warn as they like.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
DATA = '{"images": 24, "val_images": 12, "test_images": 12, "classes": 3, "size": 16, "part_size": 4}'
RUN = f"""pretrain --data multiview --options '{DATA}' --encoder patchnet --encoder-options '{{"width": 8, "patch": 4}}'
--cell 4 --target pixels --decoder linear --decoder-width 8 --steps 3 --batch-size 8 --quiet --out run --tracker"""
Rows = list[tuple[int, dict[str, float]]]


def _pretrain(tracker: str, folder: Path) -> Rows:
    """A pretraining by the command line in `folder`, which holds all the tracker writes; what metrics.jsonl says."""
    here = {
        "WANDB_MODE": "offline",
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "TRACKIO_DIR": str(folder / "trackio"),
        "HF_HUB_OFFLINE": "1",
    }
    command = [sys.executable, "-m", "unmask", *shlex.split(RUN), tracker]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **here}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    rows: Rows = []
    for row in read_metrics(folder / "run"):
        numbers = {f"{row.kind}/{name}": value for name, value in vars(row).items() if isinstance(value, int | float)}
        rows.append((row.step, {name: value for name, value in numbers.items() if not name.endswith("/step")}))
    assert len(rows) == 5
    return rows


def test_wandb_keeps_the_rows(tmp_path: Path) -> None:
    """Read from the transaction log that `wandb sync` would send."""
    pytest.importorskip("wandb", reason="needs the tracker wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    rows = _pretrain("wandb", tmp_path)
    (log,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    kept: dict[int, dict[str, float]] = {}
    for data in _records(log.read_bytes()):
        record = Record()
        record.ParseFromString(data)
        if record.HasField("run"):
            assert (record.run.project, record.run.display_name) == ("unmask", "run")
        if record.HasField("history"):
            values = {(item.key or item.nested_key[0]): json.loads(item.value_json) for item in record.history.item}
            kept[record.history.step.num] = {name: v for name, v in values.items() if not name.startswith("_")}
    wanted: dict[int, dict[str, float]] = {}
    for step, numbers in rows:  # One row per step there: the last step has been trained and looked at.
        wanted[step] = wanted.get(step, {}) | numbers
    assert kept == wanted


def test_mlflow_keeps_the_rows(tmp_path: Path) -> None:
    """Read back by its client, with the settings as parameters."""
    mlflow = pytest.importorskip("mlflow", reason="needs the tracker mlflow")
    rows = _pretrain("mlflow", tmp_path)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("unmask").experiment_id])
    assert (run.info.run_name, run.info.status) == ("run", "FINISHED")
    assert run.data.params["recipe.optimizer.steps"] == "3"
    assert set(run.data.metrics) == {name for _, numbers in rows for name in numbers}
    for name in run.data.metrics:
        kept = [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]
        assert kept == [(step, numbers[name]) for step, numbers in rows if name in numbers]


def test_trackio_keeps_the_rows(tmp_path: Path) -> None:
    """Read from its database."""
    pytest.importorskip("trackio", reason="needs the tracker trackio")
    rows = _pretrain("trackio", tmp_path)
    with sqlite3.connect(tmp_path / "trackio/unmask.db") as database:
        found = database.execute("SELECT step, metrics FROM metrics WHERE run_name = 'run' ORDER BY id").fetchall()
    assert [(step, json.loads(numbers)) for step, numbers in found] == rows


def _records(log: bytes) -> Iterator[bytes]:
    """The records of a LevelDB log behind a header of 7 bytes: blocks of 32 KiB, pieces with checksum, length, kind."""
    place, whole = 7, b""
    while place + 7 <= len(log):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        length, kind = int.from_bytes(log[place + 4 : place + 6], "little"), log[place + 6]
        whole += log[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # A whole record, or the last piece of one.
            yield whole
            whole = b""

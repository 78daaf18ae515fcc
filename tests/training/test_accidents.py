"""Several processes and an accident: all end soon and say one line; resumed, the run is the one that met none."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from unmask.errors import UserError
from unmask.runs.metrics import read_metrics
from unmask.training.checkpoint import load_tensors, newest
from unmask.training.launch import peers_may_connect

SOON = 60.0  # seconds; gloo tells at once, this machine may be busy
STAGES = ("pretrain", "scratch", "sharded", "sharded-scratch")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every scenario of accidents.py: pretraining (BatchNorm, EMA teacher, averages) and two phases of training (ViT,
    averages; sharded: a best state by validation), data-parallel and sharded."""
    folder = tmp_path_factory.mktemp("accidents")
    script = Path(__file__).with_name("accidents.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, str(script), str(folder)], env=environment, timeout=500, check=True)
    return folder


def _told(folder: Path, name: str) -> dict[str, Any]:
    told = json.loads((folder / f"{name}.json").read_text())
    told["lines"] = [line for said in told["said"] for line in said.splitlines()]
    return told


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("accident", ["sigterm", "other-killed", "main-killed"])
def test_a_resumed_run_of_two_processes_is_the_one_never_stopped(folder: Path, stage: str, accident: str) -> None:
    """To the bit: weights, statistics, averages, teacher, the optimiser's moments, the exported file; and every
    logged number."""
    assert _told(folder, f"{stage}-whole")["codes"] == [0, 0]
    assert _told(folder, f"{stage}-{accident}-resumed")["codes"] == [0, 0]
    whole, again = folder / f"{stage}-whole", folder / f"{stage}-{accident}"
    (_, one, first), (_, two, second) = (newest(run) or pytest.fail("no checkpoint") for run in (whole, again))
    assert first["step"] == second["step"] == 7
    assert first["processes"] == second["processes"] == 2
    for a, b in ((one, two), *[[load_tensors(run / "encoder.safetensors")[0] for run in (whole, again)]]):
        assert a.keys() == b.keys()
        assert [name for name, tensor in a.items() if not torch.equal(tensor, b[name])] == []
    assert read_metrics(again) == read_metrics(whole)


def test_a_sharded_run_goes_on_whole_in_one_process(folder: Path) -> None:
    """Checkpoints are those of any run: up to rounding it ends as the run that never stopped."""
    told = _told(folder, "elsewhere-resumed")
    assert told["codes"] == [0]
    assert any("was trained by 2 processes and goes on with 1" in line for line in told["lines"])
    (_, one, _), (_, two, header) = (
        newest(folder / run) or pytest.fail("none") for run in ("sharded-whole", "elsewhere")
    )
    assert header["processes"] == 1
    assert one.keys() == two.keys()
    for name in (name for name in one if not name.startswith("optimiser/")):
        torch.testing.assert_close(two[name], one[name], rtol=2e-3, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("stage", STAGES)
def test_sigterm_to_one_stops_both(folder: Path, stage: str) -> None:
    """After the same step: saved, one line, exit code 143."""
    told = _told(folder, f"{stage}-sigterm")
    assert told["codes"] == [143, 143]
    assert len(told["lines"]) == 1
    assert "stopped by SIGTERM, saved at step 5; go on with --resume" in told["lines"][0]
    assert told["seconds"] < SOON


@pytest.mark.case("a process that died left the others waiting")
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_other(folder: Path, stage: str, victim: int) -> None:
    """Whichever it was, the other one says one line and leaves with exit code 2: nobody waits for a dead process."""
    told = _told(folder, f"{stage}-{('main', 'other')[victim]}-killed")
    assert told["codes"] == ([-signal.SIGKILL, 2] if victim == 0 else [2, -signal.SIGKILL])
    assert len(told["lines"]) == 1
    assert told["lines"][0].startswith("unmask: another process of this run has ended")
    assert told["seconds"] < SOON


def test_processes_that_do_not_meet_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """What gloo and NCCL raise then is one line; a mistake of another kind stays what it is."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"do not reach each other \(Gloo connectFullMesh failed"), peers_may_connect():
        raise RuntimeError("Gloo connectFullMesh failed: Connection refused\nat somewhere")
    with pytest.raises(RuntimeError, match="shape"), peers_may_connect():
        raise RuntimeError("shape mismatch")

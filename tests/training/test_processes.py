"""Several processes give what one gives: weights, BatchNorm statistics, metrics; one folder, one voice."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from scripts import load_script, script_environment
from unmask.runs.files import read_json
from unmask.runs.metrics import read_metrics
from unmask.training.checkpoint import load_tensors, newest

SCRIPT = Path(__file__).with_name("several.py")


def free_port() -> int:
    """A port that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def folder_of_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All trainings: `one` by one process, `plain` and `sharded` by two; `held-RANK` and `errors-RANK` of those."""
    folder = tmp_path_factory.mktemp("trainings")
    port = free_port()
    places = [
        script_environment(
            RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=2, LOCAL_WORLD_SIZE=2, MASTER_ADDR="127.0.0.1", MASTER_PORT=port
        )
        for rank in range(2)
    ]
    workers = [
        subprocess.Popen([sys.executable, str(SCRIPT), str(rank), str(folder)], env=place)
        for rank, place in enumerate(places)
    ]
    load_script(SCRIPT).run_all(folder / "one")
    assert [worker.wait(timeout=500) for worker in workers] == [0, 0]
    return folder


@pytest.fixture(params=["plain", "sharded"])
def folders(request: pytest.FixtureRequest, folder_of_all: Path) -> tuple[Path, Path]:
    """All trainings by one process; by two, data-parallel or sharded."""
    return folder_of_all / "one", folder_of_all / request.param


@pytest.mark.case("uneven batches hung")
@pytest.mark.parametrize("run", ["cnn", "teacher", "vit", "pieces", "swin", "tuned", "average"])
def test_two_processes_train_what_one_trains(folders: tuple[Path, Path], run: str) -> None:
    """Weights, BatchNorm's statistics and averages after all steps, and every logged number, up to rounding."""
    (_, one, _), (_, two, header) = (newest(folder / run) or pytest.fail("no checkpoint") for folder in folders)
    assert header["processes"] == 2
    names = [name for name in one if not name.startswith("optimiser/")]
    assert set(one) == set(two)
    for name in names:
        torch.testing.assert_close(two[name], one[name], rtol=2e-3, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}")
    rows_one, rows_two = (read_metrics(folder / run) for folder in folders)
    assert len(rows_one) == len(rows_two) >= 3
    for a, b in zip(rows_one, rows_two, strict=True):
        assert type(a) is type(b)
        for name, value in vars(a).items():
            assert getattr(b, name) == (pytest.approx(value, rel=2e-3) if isinstance(value, float) else value), name


def test_metrics_are_over_exactly_the_data_set(folders: tuple[Path, Path]) -> None:
    """Two processes score 15 validation and 30 test images, each once: no image fills up an uneven share."""
    for folder in folders:
        metrics = read_json(folder / "tuned" / "result.json")["metrics"]
        assert [sum(map(sum, metrics[split]["confusion"])) for split in ("val", "test")] == [15, 30]
    one, two = (read_json(folder / "tuned" / "result.json")["metrics"]["test"] for folder in folders)
    assert one["confusion"] == two["confusion"]


def test_one_folder_and_one_voice(folders: tuple[Path, Path]) -> None:
    """The main process alone writes; of a failure one process tells, the others leave with the same exit code."""
    one, two = folders
    for run in ("cnn", "tuned"):
        assert sorted(p.name for p in (one / run).rglob("*")) == sorted(p.name for p in (two / run).rglob("*"))
    first, second = (json.loads((two.parent / f"errors-{rank}.json").read_text()) for rank in range(2))
    assert (first["first"], second["first"]) == ("only 0 knows", "exit 2")
    assert (first["second"], second["second"]) == ("exit 2", "only 1 knows")
    assert (first["sigterm"], second["sigterm"]) == ("leave", "exit 143")
    assert "not empty" in first["occupied"]
    assert second["occupied"] == "exit 2"
    assert "differs between processes" in first["other data"]
    assert second["other data"] == "exit 2"
    facts = read_json(two / "cnn" / "environment.json")
    assert facts["processes"] == 2
    assert any("14 = 7 a micro-batch x 2 processes" in note for note in facts["notes"])


def test_a_sharded_network_is_held_in_parts(folder_of_all: Path) -> None:
    """Weights, average and moments: each process holds its part, every number is in one; blocks are groups."""
    first, second = (json.loads((folder_of_all / f"held-{rank}.json").read_text()) for rank in range(2))
    for name in ("weights", "average", "moments"):
        assert first[f"plain {name}"] == second[f"plain {name}"]
        assert first[f"sharded {name}"] + second[f"sharded {name}"] == first[f"plain {name}"]
        assert second[f"sharded {name}"] > 0.45 * first[f"plain {name}"]
    assert (first["plain groups"], first["sharded groups"]) == (0, 3)  # the two blocks, and what is around them
    assert first["plain weight apart"] == [False] * 6
    assert first["sharded weight apart"] == second["sharded weight apart"] == [True, True, False, False, True, True]


def test_exported_weights_are_equal(folders: tuple[Path, Path]) -> None:
    """BatchNorm statistics re-estimated on whole images included."""
    one, two = (load_tensors(folder / "cnn" / "encoder.safetensors")[0] for folder in folders)
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=2e-3, atol=2e-5)


def test_two_nodes_of_two_processes(tmp_path: Path) -> None:
    """Two launchers meet by torch's rendezvous; four processes train one run and one line is printed."""
    port = free_port()
    options = '{"images": 26, "val_images": 9, "test_images": 30, "classes": 3, "size": 16, "part_size": 4}'
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=2", "--rdzv-backend=c10d"),
        *(f"--rdzv-endpoint=127.0.0.1:{port}", "--rdzv-id=unmask", "-m", "unmask", "pretrain", "--data", "multiview"),
        *("--options", options, "--encoder", "patchnet", "--encoder-options", '{"width": 8, "patch": 4}'),
        *("--batch-size", "8", "--epochs", "2", "--out", "run", "--quiet"),
    ]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    nodes = [subprocess.Popen(command, cwd=tmp_path, env=script_environment(), **pipes) for _ in range(2)]
    said = [node.communicate(timeout=500) for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], said
    assert "".join(out for out, _ in said).split() == ["run"]
    assert sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir())[-1] == "step_00000008.safetensors"
    assert read_json(tmp_path / "run" / "environment.json")["processes"] == 4
    assert [row.step for row in read_metrics(tmp_path / "run") if row.kind == "train"] == list(range(1, 9))

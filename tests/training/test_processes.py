"""Several processes give what one gives: weights, BatchNorm statistics, metrics; one folder, one voice."""

import json
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from forks import Forks
from scripts import Program, load_script
from unmask.runs.files import read_json
from unmask.runs.metrics import read_metrics
from unmask.training.checkpoint import load_tensors, newest

pytestmark = pytest.mark.timeout(0)  # They may take as long as they work: see scripts.py.
SCRIPT = Path(__file__).with_name("several.py")


def free_port() -> int:
    """A port that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


Train = Callable[[str, str], Path]


@pytest.fixture(scope="module")
def train(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Train:
    """The folder of a training: by `one` process, this one; by two, data-parallel (`plain`) or `sharded`."""
    folder, several, done = tmp_path_factory.mktemp("trainings"), load_script(SCRIPT), set()

    def train(way: str, name: str) -> Path:
        out = folder / way / name
        if out not in done:
            shutil.rmtree(out, ignore_errors=True)  # what an earlier test's failure left
            if way == "one":
                several.train(name, str(out))
            else:
                ended = forks.run(SCRIPT, "train", name, str(out), way == "sharded")
                assert ended.codes == [0, 0], ended.said
            done.add(out)
        return out

    return train


both_ways = pytest.mark.parametrize("way", ["plain", "sharded"])


@pytest.mark.case("uneven batches hung")
@both_ways
@pytest.mark.parametrize(
    "run", ["cnn", "teacher", "vit", "pieces", "swin", "tuned", "average", "multilabel", "regression", "segmentation"]
)
def test_two_processes_train_what_one_trains(train: Train, way: str, run: str) -> None:
    """Weights, BatchNorm's statistics and averages after all steps, and every logged number, up to rounding."""
    folders = train("one", run), train(way, run)
    first, second = (newest(folder).found or pytest.fail("no checkpoint") for folder in folders)
    one, two = first.tensors, second.tensors
    assert second.header.processes == 2
    names = [name for name in one if not name.startswith("optimizer/")]
    assert set(one) == set(two)
    if run == "segmentation":
        names = [name for name in names if "running" in name]
        moments = [name for name in one if name.endswith("/exp_avg")]
        gradients = [torch.cat([found[name].flatten() for name in moments]) for found in (one, two)]
        assert (gradients[1] - gradients[0]).norm() < 0.01 * gradients[0].norm()
    for name in names:
        torch.testing.assert_close(two[name], one[name], rtol=2e-3, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}")
    rows_one, rows_two = (read_metrics(folder) for folder in folders)
    assert len(rows_one) == len(rows_two) >= (1 if run == "segmentation" else 3)
    for a, b in zip(rows_one, rows_two, strict=True):
        assert type(a) is type(b)
        for name, value in vars(a).items():
            assert getattr(b, name) == (pytest.approx(value, rel=2e-3) if isinstance(value, float) else value), name


@both_ways
def test_metrics_are_over_exactly_the_data_set(train: Train, way: str) -> None:
    """Two processes score 15 validation and 30 test images, each once: no image fills up an uneven share."""
    one, two = (read_json(folder / "result.json")["metrics"] for folder in (train("one", "tuned"), train(way, "tuned")))
    for metrics in (one, two):
        assert [sum(n for _, _, n in metrics[split]["confusion"]) for split in ("val", "test")] == [15, 30]
    assert one["test"]["confusion"] == two["test"]["confusion"]


@both_ways
def test_masks_are_scored_over_exactly_the_data_set(train: Train, way: str) -> None:
    """Every pixel of 15 and 30 masks, and its class, once."""
    for folder in (train("one", "segmentation"), train(way, "segmentation")):
        metrics = read_json(folder / "result.json")["metrics"]
        for split, images in (("val", 15), ("test", 30)):
            assert sum(one["pixels"] for one in metrics[split]["per_class"]) == images * 16 * 16


@both_ways
@pytest.mark.parametrize("run", ["cnn", "tuned"])
def test_the_main_process_alone_writes(train: Train, way: str, run: str) -> None:
    """The files of one process, and none besides."""
    one, two = (sorted(p.name for p in train(how, run).rglob("*")) for how in ("one", way))
    assert one == two


@both_ways
def test_the_run_tells_how_many_processes_shared_a_batch(train: Train, way: str) -> None:
    """In environment.json."""
    facts = read_json(train(way, "cnn") / "environment.json")
    assert facts["processes"] == 2
    assert any("14 = 7 per micro-batch x 2 processes" in note for note in facts["notes"])


@both_ways
def test_exported_weights_are_equal(train: Train, way: str) -> None:
    """BatchNorm statistics re-estimated on whole images included."""
    one, two = (load_tensors(train(how, "cnn") / "encoder.safetensors")[0] for how in ("one", way))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize(("kind", "said"), [("occupied", "not empty"), ("other", "differs between processes")])
def test_a_failure_is_told_by_one_process(forks: Forks, tmp_path: Path, kind: str, said: str) -> None:
    """The other one leaves with the exit code of an error."""
    ended = forks.run(SCRIPT, "fail", kind, str(tmp_path))
    assert ended.codes == [0, 0], ended.said
    assert said in (tmp_path / "heard-0").read_text()
    assert (tmp_path / "heard-1").read_text() == "exit 2"


def test_a_sharded_network_is_held_in_parts(forks: Forks, tmp_path: Path) -> None:
    """Weights, average and moments: each process holds its part, every number is in one; blocks are groups."""
    ended = forks.run(SCRIPT, "hold", str(tmp_path))
    assert ended.codes == [0, 0], ended.said
    first, second = (json.loads((tmp_path / f"held-{rank}.json").read_text()) for rank in range(2))
    for name in ("weights", "average", "moments"):
        assert first[f"plain {name}"] == second[f"plain {name}"]
        assert first[f"sharded {name}"] + second[f"sharded {name}"] == first[f"plain {name}"]
        assert second[f"sharded {name}"] > 0.45 * first[f"plain {name}"]
    assert (first["plain groups"], first["sharded groups"]) == (0, 3)  # the two blocks, and what is around them
    assert first["plain weight apart"] == [False] * 6
    assert first["sharded weight apart"] == second["sharded weight apart"] == [True, True, False, False, True, True]


@pytest.mark.slow
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
    nodes = [Program(command, tmp_path, name=f"node-{index}") for index in range(2)]
    try:
        assert [node.end() for node in nodes] == [0, 0], [node.err for node in nodes]
    finally:
        for node in nodes:
            node.stop()
    assert "".join(node.out for node in nodes).split() == ["run"]
    assert sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir())[-1] == "step_00000008.safetensors"
    assert read_json(tmp_path / "run" / "environment.json")["processes"] == 4
    assert [row.step for row in read_metrics(tmp_path / "run") if row.kind == "train"] == list(range(1, 9))

"""Several processes and an accident: all end and say one line; resumed, the run is the one that met none."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from forks import Forks
from unmask.errors import UserError
from unmask.runs.metrics import read_metrics
from unmask.training.checkpoint import load_tensors, newest
from unmask.training.launch import peers_may_connect

pytestmark = pytest.mark.timeout(0)  # They may take as long as they work: see scripts.py.
SCRIPT = Path(__file__).with_name("accidents.py")
KILLED = -signal.SIGKILL
ENDS = {
    "sigterm": ((1, "SIGTERM"), [143, 143], "stopped by SIGTERM, saved at step 5; continue with --resume"),
    "other-killed": ((1, "SIGKILL"), [2, KILLED], "unmask: another process of this run has ended"),
    "main-killed": ((0, "SIGKILL"), [KILLED, 2], "unmask: another process of this run has ended"),
}
"""Accidents: which process gets which signal; exit codes; the one line that is said."""


@pytest.fixture(scope="module")
def whole(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The run of a stage that meets no accident."""
    folder, done = tmp_path_factory.mktemp("whole"), set()

    def run(stage: str) -> Path:
        if stage not in done:
            shutil.rmtree(folder / stage, ignore_errors=True)  # what an earlier test's failure left
            ended = forks.run(SCRIPT, "command", stage, ["--out", str(folder / stage)])
            assert ended.codes == [0, 0], ended.said
            done.add(stage)
        return folder / stage

    return run


@pytest.mark.case("a process that died left the others waiting")
@pytest.mark.parametrize("stage", ["pretrain", "scratch", "sharded", "sharded-scratch"])
@pytest.mark.parametrize("accident", ENDS)
def test_all_end_and_the_resumed_run_is_the_one_never_stopped(
    forks: Forks, whole: Callable[[str], Path], tmp_path: Path, stage: str, accident: str
) -> None:
    """One line and an exit code each, nobody waits for a dead process. Then, to the bit: weights, statistics, averages,
    teacher, the optimizer's moments, the exported file; and every logged number."""
    hit, codes, line = ENDS[accident]
    again = tmp_path / "run"
    ended = forks.run(SCRIPT, "command", stage, ["--out", str(again)], *hit)
    assert ended.codes == codes, ended.said
    assert len(ended.lines) == 1
    assert line in ended.lines[0]
    ended = forks.run(SCRIPT, "command", stage, ["--out", str(again), "--resume"])
    assert ended.codes == [0, 0], ended.said
    runs = whole(stage), again
    first, second = (newest(run).found or pytest.fail("no checkpoint") for run in runs)
    one, two = first.tensors, second.tensors
    assert first.header.step == second.header.step == 7
    assert first.header.processes == second.header.processes == 2
    for a, b in ((one, two), tuple(load_tensors(run / "encoder.safetensors")[0] for run in runs)):
        assert a.keys() == b.keys()
        assert [name for name, tensor in a.items() if not torch.equal(tensor, b[name])] == []
    assert read_metrics(runs[0]) == read_metrics(runs[1])


def test_a_sharded_run_goes_on_whole_in_one_process(forks: Forks, whole: Callable[[str], Path], tmp_path: Path) -> None:
    """Checkpoints are those of any run: up to rounding it ends as the run that never stopped."""
    out = ["--out", str(tmp_path / "run")]
    assert forks.run(SCRIPT, "command", "sharded", out, 1, "SIGTERM").codes == [143, 143]
    ended = forks.run(SCRIPT, "command", "pretrain", [*out, "--resume"], world=1)
    assert ended.codes == [0], ended.said
    assert any("was trained by 2 processes and continues with 1" in line for line in ended.lines)
    runs = whole("sharded"), tmp_path / "run"
    first, second = (newest(run).found or pytest.fail("no checkpoint") for run in runs)
    one, two = first.tensors, second.tensors
    assert second.header.processes == 1
    assert one.keys() == two.keys()
    for name in (name for name in one if not name.startswith("optimizer/")):
        torch.testing.assert_close(two[name], one[name], rtol=2e-3, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_processes_that_do_not_meet_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """What gloo and NCCL raise then is one line; a mistake of another kind stays what it is."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"cannot reach each other \(Gloo connectFullMesh failed"), peers_may_connect():
        raise RuntimeError("Gloo connectFullMesh failed: Connection refused\nat somewhere")
    with pytest.raises(RuntimeError, match="shape"), peers_may_connect():
        raise RuntimeError("shape mismatch")

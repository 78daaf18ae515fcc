"""The commands of docs/scaling.md as they are printed, with two processes and small flags added."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unmask.runs.files import read_json
from unmask.training.checkpoint import newest

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
SMALL = ("--encoder", "patchnet", "--encoder-options", '{"width": 8, "patch": 4}', "--batch-size", "4", "--quiet")


def _commands() -> list[list[str]]:
    """The launcher's lines for one machine, with two processes."""
    lines = re.findall(r"^(?: {4})?((?:accelerate launch|torchrun) .*[^\\\n])$", PAGE.read_text(), re.MULTILINE)
    return [shlex.split(re.sub(r"(num_processes|nproc-per-node) \d+", r"\1 2", line)) for line in lines]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with my/images in it."""
    (tmp_path / "my" / "images").mkdir(parents=True)
    for index in range(12):
        pixels = np.random.default_rng(index).integers(0, 256, (16, 16), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "my" / "images" / f"{index}.png")
    return tmp_path


def _launch(command: list[str], place: Path, *more: str) -> subprocess.Popen[str]:
    scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        [*command, *SMALL, *more],
        cwd=place,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PATH": scripts},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _torchrun() -> list[str]:
    return next(command for command in _commands() if command[0] == "torchrun")


def _until(condition: Callable[[], bool], launched: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert launched.poll() is None, launched.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _out(command: list[str]) -> str:
    return command[command.index("--out") + 1]


def _saved(run: Path) -> list[Path]:
    return sorted((run / "checkpoints").glob("step_*"))


def _workers(launcher: int) -> list[int]:
    """The processes that a launcher started, by their parent."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(launcher)], capture_output=True, text=True, check=True)
    return sorted(map(int, found.stdout.split()))


def test_the_page_shows_both_launchers() -> None:
    assert {command[0] for command in _commands()} == {"accelerate", "torchrun"}
    assert {command[0] for command in _commands() if {"--shard", "--use_fsdp"} & {*command}} == {
        "accelerate",
        "torchrun",
    }


@pytest.mark.parametrize("command", _commands(), ids=" ".join)
def test_a_launched_run_of_two_processes(command: list[str], place: Path) -> None:
    """Ends with 0, one line and one run folder of two processes."""
    launched = _launch(command, place, "--steps", "2")
    out, err = launched.communicate(timeout=500)
    assert launched.returncode == 0, err
    assert out.strip() == _out(command)
    facts = read_json(place / _out(command) / "environment.json")
    assert facts["processes"] == 2
    wanted = "--shard" in command or "--use_fsdp" in command
    assert any("sharded over 2 processes (FSDP2)" in note for note in facts["notes"]) == wanted


def test_the_launcher_hands_sigterm_on(place: Path) -> None:
    """Both processes stop after the same step, saved; one line says so."""
    run = place / _out(_torchrun())
    launched = _launch(_torchrun(), place, "--steps", "100000", "--save-every", "1")
    _until(lambda: bool(_saved(run)), launched)
    launched.send_signal(signal.SIGTERM)
    _, err = launched.communicate(timeout=120)
    assert launched.returncode != 0
    lines = [line for line in err.splitlines() if line.startswith("unmask: ")]
    assert len(lines) == 1, err
    step = re.search(r"stopped by SIGTERM, saved at step (\d+); go on with --resume", lines[0])
    assert step is not None, err
    found = newest(run)
    assert found is not None
    assert found[2]["step"] == int(step[1])


def test_the_launcher_starts_a_killed_run_again(place: Path) -> None:
    """--max-restarts with --resume: a process is killed, one line says it, the run goes on and ends."""
    command = _torchrun()
    command = [command[0], "--max-restarts", "1", *command[1:]]
    run = place / _out(command)
    launched = _launch(command, place, "--steps", "200", "--save-every", "1", "--resume")
    _until(lambda: bool(_saved(run)), launched)
    os.kill(_workers(launched.pid)[0], signal.SIGKILL)
    out, err = launched.communicate(timeout=300)
    assert launched.returncode == 0, err
    assert out.strip() == _out(command)
    assert len([line for line in err.splitlines() if line.startswith("unmask: another process of this run")]) == 1, err
    assert read_json(run / "environment.json")["steps"] == 200


def test_on_a_gpu_no_process_group_is_looked_for_without_a_launcher() -> None:
    """Accelerate, told of a backend, wants a group that only a launcher makes: no command would start there."""
    script = (
        "import torch; torch.cuda.is_available = lambda: True; from unmask.training.engine import build_engine; "
        "print(build_engine('no', several=True).device.type)"
    )
    place = {name: value for name, value in os.environ.items() if name != "LOCAL_RANK"}
    ended = subprocess.run([sys.executable, "-c", script], env=place, capture_output=True, text=True, timeout=200)
    assert (ended.stdout.strip(), ended.returncode) == ("cuda", 0), ended.stderr

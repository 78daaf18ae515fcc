"""The commands of docs/scaling.md as they are printed, with two processes and small flags added."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from scripts import Program
from tiny import draw
from unmask.runs.files import read_json
from unmask.training.checkpoint import newest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(0)]  # They may take as long as they work: see scripts.py.
PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
SMALL = ("--encoder", "patchnet", "--encoder-options", '{"width": 8, "patch": 4}', "--batch-size", "4", "--quiet")

INTERRUPTIBLE = """
import signal
from unmask.cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""
"""The command, obeying Ctrl-C also where a shell has started the tests with &, which makes their children ignore it."""


def _commands() -> list[list[str]]:
    """The launcher's lines for one machine, with two processes."""
    lines = re.findall(r"^(?: {4})?((?:accelerate launch|torchrun) .*[^\\\n])$", PAGE.read_text(), re.MULTILINE)
    return [shlex.split(re.sub(r"(num_processes|nproc-per-node) \d+", r"\1 2", line)) for line in lines]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with my/images in it."""
    draw(tmp_path / "my" / "images", *(f"{index}.png" for index in range(12)), size=(16, 16), mode="L")
    return tmp_path


@pytest.fixture
def launch(place: Path) -> Iterator[Callable[..., Program]]:
    """Starts a command of the page in `place`; ends what is left of it."""
    started: list[Program] = []
    scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def run(command: list[str], *more: str) -> Program:
        started.append(Program([*command, *SMALL, *more], place, PATH=scripts))
        return started[-1]

    yield run
    for program in started:
        program.stop()


def _torchrun() -> list[str]:
    return next(command for command in _commands() if command[0] == "torchrun")


def _out(command: list[str]) -> str:
    return command[command.index("--out") + 1]


def _saved(run: Path) -> bool | None:
    """True once the run has a checkpoint."""
    return True if any((run / "checkpoints").glob("step_*")) else None


def _workers(launched: Program) -> set[int]:
    """The processes that a launcher has started and that are at work."""
    children = psutil.Process(launched.process.pid).children()
    return {child.pid for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE}


def test_the_page_shows_both_launchers() -> None:
    assert {command[0] for command in _commands()} == {"accelerate", "torchrun"}
    assert {command[0] for command in _commands() if {"--shard", "--use_fsdp"} & {*command}} == {
        "accelerate",
        "torchrun",
    }


@pytest.mark.parametrize("command", _commands(), ids=" ".join)
def test_a_launched_run_of_two_processes(command: list[str], place: Path, launch: Callable[..., Program]) -> None:
    """Ends with 0, one line and one run folder of two processes."""
    launched = launch(command, "--steps", "2")
    assert launched.end() == 0, launched.err
    assert launched.out.strip() == _out(command)
    facts = read_json(place / _out(command) / "environment.json")
    assert facts["processes"] == 2
    wanted = "--shard" in command or "--use_fsdp" in command
    assert any("sharded over 2 processes (FSDP2)" in note for note in facts["notes"]) == wanted


def test_the_launcher_hands_sigterm_on(place: Path, launch: Callable[..., Program]) -> None:
    """Both processes stop after the same step, saved; one line says so."""
    run = place / _out(_torchrun())
    launched = launch(_torchrun(), "--steps", "100000", "--save-every", "1")
    launched.until(lambda: _saved(run))
    launched.process.send_signal(signal.SIGTERM)
    assert launched.end() != 0
    lines = [line for line in launched.err.splitlines() if line.startswith("unmask: ")]
    assert len(lines) == 1, launched.err
    step = re.search(r"stopped by SIGTERM, saved at step (\d+); continue with --resume", lines[0])
    assert step is not None, launched.err
    found = newest(run).found
    assert found is not None
    assert found.header.step == int(step[1])


def test_the_launcher_starts_a_killed_run_again(place: Path, launch: Callable[..., Program]) -> None:
    """--max-restarts with --resume: a process is killed; two others go on with the run, which ends. The one that was
    left says a line, where the launcher does not end it before."""
    command = _torchrun()
    command = [command[0], "--max-restarts", "1", *command[1:]]
    run = place / _out(command)
    launched = launch(command, "--steps", "400", "--save-every", "1", "--resume")
    launched.until(lambda: _saved(run))
    first = _workers(launched)
    os.kill(min(first), signal.SIGKILL)
    launched.until(lambda: True if len(_workers(launched) - first) == 2 else None)
    assert launched.end() == 0, launched.err
    assert launched.out.strip() == _out(command)
    assert len([line for line in launched.err.splitlines() if line.startswith("unmask: ")]) <= 1, launched.err
    assert read_json(run / "environment.json")["steps"] == 400


def test_on_a_gpu_no_process_group_is_looked_for_without_a_launcher() -> None:
    """Accelerate, told of a backend, wants a group that only a launcher makes: no command would start there."""
    script = (
        "import torch; torch.cuda.is_available = lambda: True; from unmask.training.engine import build_engine; "
        "print(build_engine('no', several=True).device.type)"
    )
    place = {name: value for name, value in os.environ.items() if name != "LOCAL_RANK"}
    ended = subprocess.run([sys.executable, "-c", script], env=place, capture_output=True, text=True, check=False)
    assert (ended.stdout.strip(), ended.returncode) == ("cuda", 0), ended.stderr


@pytest.mark.parametrize(("rank", "number", "code"), [(0, signal.SIGTERM, 143), (1, signal.SIGINT, 130)])
def test_who_waits_for_the_others_says_so_and_can_be_ended(
    rank: int, number: signal.Signals, code: int, place: Path
) -> None:
    """A process whose peer never comes: a line after seconds, and both signals end it at once, the folder untouched."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    command = [sys.executable, "-c", INTERRUPTIBLE, "pretrain", "--data", "my/images", "--out", "waits", *SMALL]
    facts = {"WORLD_SIZE": 2, "RANK": rank, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    alone = Program(command, place, **facts)
    alone.until(lambda: True if "waiting for the other processes" in alone.err else None)
    alone.process.send_signal(number)
    assert alone.end() == code, alone.err
    assert "Traceback" not in alone.err
    assert "frame #" not in alone.err
    assert not (place / "waits").exists()

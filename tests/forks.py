"""Several processes of one run, forked from a program that has imported everything: a start takes no seconds.

As a program, it reads jobs from standard input, a line of JSON each, and answers into a file per job.
"""

import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts import load_script, script_environment, wait_while_it_works


@dataclass(frozen=True)
class Ended:
    """How the processes of a job ended."""

    codes: list[int]
    """Exit codes, negative for a signal."""
    said: list[str]
    """What each wrote to standard output and error."""

    @property
    def lines(self) -> list[str]:
        """All that was said."""
        return [line for said in self.said for line in said.splitlines()]


class Forks:
    """Runs functions of scripts in several processes that meet, as a launcher's do."""

    def __init__(self, folder: Path) -> None:
        """Logs and answers are kept in `folder`."""
        self._folder, self._jobs = folder, 0
        self._server: subprocess.Popen[str] | None = None

    def _started(self) -> subprocess.Popen[str]:
        """The program that forks, started anew where it has ended."""
        if self._server is None or self._server.poll() is not None:
            command = [sys.executable, __file__]
            self._server = subprocess.Popen(command, env=script_environment(), stdin=subprocess.PIPE, text=True)
        return self._server

    def run(self, script: Path, function: str, *arguments: Any, world: int = 2) -> Ended:
        """Call a function of `script` with plain values in `world` processes at once."""
        server, self._jobs = self._started(), self._jobs + 1
        folder = self._folder / f"job-{self._jobs}"
        folder.mkdir()
        job = {"script": str(script), "function": function, "arguments": arguments, "world": world}
        assert server.stdin is not None
        server.stdin.write(json.dumps(job | {"folder": str(folder)}) + "\n")
        server.stdin.flush()
        codes = folder / "codes.json"
        try:
            wait_while_it_works(server.pid, lambda: True if codes.exists() or server.poll() is not None else None)
        except AssertionError as error:
            said = [log.read_text() for log in sorted(folder.glob("log-*"))]
            raise AssertionError(f"{function}{arguments} {error}: {said}") from None
        said = [(folder / f"log-{rank}").read_text() for rank in range(world)]
        return Ended(json.loads(codes.read_text()), said)

    def close(self) -> None:
        """End the program that forks."""
        if self._server is not None:
            assert self._server.stdin is not None
            self._server.stdin.close()
            self._server.wait()


def _fork(job: dict[str, Any], rank: int, place: dict[str, str]) -> int:
    """One process of a job; returns its id."""
    child = os.fork()
    if child:
        return child
    os.environ.update(place)
    descriptor = os.open(Path(job["folder"]) / f"log-{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in enumerate((nothing, descriptor, descriptor)):
        os.dup2(source, target)
    getattr(load_script(Path(job["script"])), job["function"])(*job["arguments"])
    sys.exit(0)


def _answer(job: dict[str, Any]) -> None:
    """Run a job's processes and write their exit codes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1])}
    world = job["world"]
    meeting |= {"WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world)}
    children = {_fork(job, rank, meeting | {"RANK": str(rank), "LOCAL_RANK": str(rank)}): rank for rank in range(world)}
    codes = [0] * world
    for _ in range(world):
        child, status = os.wait()
        codes[children[child]] = os.waitstatus_to_exitcode(status)
    half = Path(job["folder"]) / "half.json"
    half.write_text(json.dumps(codes))
    half.rename(half.with_name("codes.json"))


def main() -> None:
    """Answer jobs until standard input ends."""
    import torch

    import unmask.cli.main
    import unmask.comparison.run
    import unmask.stages.pretrain  # noqa: F401

    torch.set_num_threads(1)
    for line in sys.stdin:
        _answer(json.loads(line))


if __name__ == "__main__":
    main()

"""Programs that tests start: with the modules of tests/, and with the patience that a busy machine needs.

A limit in seconds is too short on a busy machine, or very long for a program that hangs. Here a program may take as
long as it works: it fails where it and its descendants use no second of CPU time for minutes, or far too many in all.
"""

import importlib.util
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import psutil

T = TypeVar("T")
TESTS = Path(__file__).parent
IDLE = 180.0
"""Seconds without a second of CPU time, after which a program hangs. Alone on a core it would have had 180."""
MOST = 1500.0
"""Seconds of CPU time, after which it works in vain."""


def load_script(path: Path) -> ModuleType:
    """A script, or a benchmark, as a module of this process."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def script_environment(**changes: Any) -> dict[str, str]:
    """This process's environment for a script: one thread, and the modules of tests/ can be imported."""
    path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path} | {k: str(v) for k, v in changes.items()}


def descendants(pid: int) -> list[psutil.Process]:
    """The processes that a process started, and those that they started, oldest first."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def wait_while_it_works(pid: int, found: Callable[[], T | None]) -> T:
    """What `found` returns once that is not None.

    Raises:
        AssertionError: the program stands still, or works without end. Its descendants are killed.
    """
    looked, since, spent = 0.0, time.monotonic(), _cpu_seconds(pid)
    while (value := found()) is None:
        now = time.monotonic()
        if now - looked >= 1:
            looked, used = now, _cpu_seconds(pid)
            if abs(used - spent) >= 1:  # Less than before where one of them has ended.
                since, spent = now, used
            if now - since > IDLE or used > MOST:
                for process in descendants(pid):
                    process.kill()
                raise AssertionError("hangs" if used <= MOST else f"did not end in {used:.0f} s of CPU time")
        time.sleep(0.01)
    return value


def _cpu_seconds(pid: int) -> float:
    """CPU time of a process and its descendants."""
    total = 0.0
    try:
        processes = [psutil.Process(pid), *descendants(pid)]
    except psutil.NoSuchProcess:
        return total
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


class Program:
    """A command at work. Its output goes to files, so that it never waits for a reader."""

    def __init__(
        self, command: Sequence[str | Path], folder: Path, *, name: str = "program", **environment: Any
    ) -> None:
        """Start it in `folder`, where NAME.out and NAME.err are written."""
        self._out, self._err = folder / f"{name}.out", folder / f"{name}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            words = [str(word) for word in command]
            self.process = subprocess.Popen(
                words, cwd=folder, env=script_environment(**environment), stdout=out, stderr=err
            )

    @property
    def out(self) -> str:
        """Standard output so far."""
        return self._out.read_text(encoding="utf-8", errors="replace")

    @property
    def err(self) -> str:
        """Standard error so far."""
        return self._err.read_text(encoding="utf-8", errors="replace")

    def end(self) -> int:
        """Wait for its exit code."""
        return self.until(self.process.poll)

    def until(self, found: Callable[[], T | None]) -> T:
        """What `found` returns once that is not None; an AssertionError with its errors where it ends before."""

        def looked() -> tuple[T | None] | None:
            ended = self.process.poll() is not None
            value = found()
            return (value,) if value is not None or ended else None

        try:
            (value,) = wait_while_it_works(self.process.pid, looked)
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{error}: {self.err}") from None
        assert value is not None, f"ended with {self.process.returncode}: {self.err}"
        return value

    def stop(self) -> None:
        """Kill it and its descendants; nothing where it has ended."""
        for process in descendants(self.process.pid):
            process.kill()
        self.process.kill()
        self.process.wait()


def run_program(command: Sequence[str | Path], folder: Path, **environment: Any) -> Program:
    """A command, ended."""
    program = Program(command, folder, **environment)
    program.end()
    return program

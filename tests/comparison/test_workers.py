"""Worker processes: what a script without a main guard, unpicklable data and a killed parent lead to."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from scripts import descendants, script_environment, wait_while_it_works
from tiny import draw
from unmask.comparison.workers import run_tasks
from unmask.errors import PreemptionError, UserError
from unmask.preemption import STOPPED, noticing, stopping_at_once

UNGUARDED = """
import sys
import unmask
from unmask.comparison.workers import run_tasks
from unmask.config import PretrainConfig
from unmask.errors import UserError
from unmask.training.open_run import open_run
from pathlib import Path

def task(name, data):
    Path(name).touch()

def work():
    how = dict(labels=False, resume=False, overwrite=False, progress=False)
    with open_run(PretrainConfig(), Path(sys.argv[1]), None, **how):
        try:
            list(run_tasks([(task, (f"{sys.argv[1]}.{i}",)) for i in range(2)], None, 2))
        except UserError as error:
            print(error)

GUARD work()
"""

SLEEPERS = """
import signal, sys, time
from pathlib import Path
from unmask.comparison.workers import run_tasks

def sleep(name, data):
    Path(name).touch()
    time.sleep(3600)

if __name__ == "__main__":
    for number in (signal.SIGHUP, signal.SIGQUIT):  # ignored where nohup or a shell's & has started the tests
        signal.signal(number, signal.SIG_DFL)
    list(run_tasks([(sleep, (f"{sys.argv[1]}/{i}",)) for i in range(2)], None, 2))
"""


@pytest.mark.slow
@pytest.mark.parametrize("guard", ["", 'if __name__ == "__main__":'])
def test_a_script_without_a_main_guard(guard: str, tmp_path: Path) -> None:
    """Its workers would run it again: one line names the guard. With it the tasks are done."""
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED.replace("GUARD", guard or "if True:"), encoding="utf-8")
    command = [sys.executable, str(script), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, env=script_environment(), check=True)
    assert done.stderr == ""
    assert ("main guard" in done.stdout) == (not guard)
    assert len(done.stdout.splitlines()) == (0 if guard else 1)
    assert sorted(path.name for path in tmp_path.glob("run.*")) == (["run.0", "run.1"] if guard else [])


READER = """
import multiprocessing, sys
import unmask

multiprocessing.set_start_method(sys.argv[2], force=True)
try:
    settings = {"steps": 1, "workers": 1, "cache_mib": 0, "image_size": (16, 16), "progress": False}
    unmask.pretrain("images", sys.argv[1], encoder="patchnet", **settings)
except unmask.UserError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_a_script_whose_readers_find_no_main_guard(method: str, tmp_path: Path) -> None:
    """Python 3.14 starts the processes that read images from a fork server."""
    draw(tmp_path / "images", *(f"{i}.png" for i in range(6)), size=(16, 16))
    (tmp_path / "script.py").write_text(READER, encoding="utf-8")
    command = [sys.executable, "script.py", "run", method]
    done = subprocess.run(command, capture_output=True, text=True, env=script_environment(), cwd=tmp_path, check=True)
    assert "main guard" in done.stdout
    assert len(done.stdout.splitlines()) == 1
    assert "Traceback" not in done.stderr


KILLED_SERVER = """
import multiprocessing, os, signal, time
from multiprocessing import forkserver
from unmask.main_guard import left_for_want_of_guard

if __name__ == "__main__":
    worker = multiprocessing.get_context("forkserver").Process(target=time.sleep, args=(60,))
    worker.start()
    os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)
    print(left_for_want_of_guard([worker]), worker.exitcode)
    os.kill(worker.pid, signal.SIGKILL)
"""


@pytest.mark.case("a fork server that was killed was taken for a missing main guard")
def test_a_killed_fork_server_is_no_missing_guard(tmp_path: Path) -> None:
    """Its worker's exit code is the same; the server's own is not."""
    (tmp_path / "script.py").write_text(KILLED_SERVER, encoding="utf-8")
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, capture_output=True, text=True, env=script_environment(), cwd=tmp_path, check=True)
    assert done.stdout.split() == ["False", "255"]


def test_a_data_set_that_cannot_be_sent() -> None:
    """It is named, and what to do; no traceback of pickle."""
    with pytest.raises(UserError, match=r"dataset: it cannot be sent to worker processes .*lambda.*jobs=1"):
        list(run_tasks([(print, ()), (print, ())], lambda: None, 2))  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGQUIT])
def test_a_killed_parent_leaves_no_worker(number: signal.Signals, tmp_path: Path) -> None:
    """The workers notice that it is gone, in the middle of a task."""
    script = tmp_path / "script.py"
    script.write_text(SLEEPERS, encoding="utf-8")
    parent = subprocess.Popen([sys.executable, str(script), str(tmp_path)], env=script_environment())
    wait_while_it_works(parent.pid, lambda: True if {"0", "1"} <= {path.name for path in tmp_path.iterdir()} else None)
    workers = descendants(parent.pid)
    assert len(workers) >= 2
    parent.send_signal(number)
    parent.wait()
    assert psutil.wait_procs(workers, timeout=60)[1] == []


def _until_sigterm(path: Path, data: None) -> None:
    """As a training: SIGTERM is noticed, and ends it after a step."""
    with noticing() as asked:
        path.touch()
        while not asked():
            time.sleep(0.02)
    raise PreemptionError(STOPPED)


@pytest.mark.slow
def test_sigterm_begins_no_task_that_waits(tmp_path: Path) -> None:
    """A pool hands its workers more tasks than they work on: after SIGTERM those are not begun either."""
    tasks = [(_until_sigterm, (tmp_path / str(number),)) for number in range(6)]

    def terminate() -> None:
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=terminate).start()
    with stopping_at_once(), pytest.raises(PreemptionError):
        list(run_tasks(tasks, None, 2))
    assert len(list(tmp_path.iterdir())) == 2

"""Commands as child processes that report every training step, so that a fault can be injected at a chosen one."""

import mmap
import os
import signal
import struct
import time
import traceback
from functools import partial
from pathlib import Path

import timm  # noqa: F401

import unmask.stages.classify  # imported here, and not in every child
import unmask.stages.pretrain
from unmask.cli.main import main as unmask_main
from unmask.training.step import Step

HEAD_STEPS = 8
"""Steps of the first phase of a training, where the second continues counting."""
PATIENCE = 300.0
"""Seconds after which a child that has not ended counts as hung."""


class Steps:
    """The first and the last step that a child process took, over all phases, in memory shared with it."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 16)
        self.reset()

    def reset(self) -> None:
        """Record that no step was taken."""
        self.memory[:] = struct.pack("qq", -1, -1)

    def took(self, step: int) -> None:
        """Record a step; called in the child."""
        first, _ = self.read()
        self.memory[:] = struct.pack("qq", step if first < 0 else first, step)

    def read(self) -> tuple[int, int]:
        """(first, last); counted from 0; -1 if none was taken."""
        first, last = struct.unpack("qq", self.memory[:])
        return first, last


def count_into(steps: Steps) -> None:
    """Make the commands of this process report every step; a second phase continues the count of the first."""

    def count(step: Step) -> None:
        steps.took((HEAD_STEPS if step.phase == "all" else 0) + step.step - 1)

    unmask.pretrain = partial(unmask.pretrain, on_step=count)
    unmask.scratch = partial(unmask.scratch, on_step=count)


def start(words: tuple[str, ...], steps: Steps, log: Path) -> int:
    """Start the command in a child process; return its id."""
    steps.reset()
    child = os.fork()
    if child:
        return child
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    count_into(steps)
    code = 70
    try:
        unmask_main(list(words))
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def wait(child: int, *, until: float | None = None) -> int | None:
    """A child's exit code, negative for a signal; None if it is still running at the time `until`.

    Without `until` a child that has not ended after `PATIENCE` seconds counts as hung: it is killed, its code is 124.
    """
    deadline = until if until is not None else time.monotonic() + PATIENCE
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= deadline:
            break
        time.sleep(0.002)
    if until is not None:
        return None
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 124


def wait_for_step(child: int, steps: Steps, step: int) -> int | None:
    """Wait until the child has taken the step; return None, or its exit code if it ends first."""
    code = None
    while steps.read()[1] < step and code is None:
        code = wait(child, until=time.monotonic() + 0.002)
    return code

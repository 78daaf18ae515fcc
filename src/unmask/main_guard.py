"""Scripts without a main guard: worker processes import the main script, and would run it again."""

import multiprocessing
import os
import sys
import time
from collections.abc import Iterable
from multiprocessing.process import BaseProcess

NO_GUARD = (
    "the script has no main guard: worker processes import it, and would run it again. Put its code under "
    'if __name__ == "__main__": (or do without workers: `workers=0`, and `jobs=1` in a comparison)'
)
_EXIT_CODE = 77
"""Exit code of a worker process that reached a run while it imported the script that started it."""

_SERVER_GONE = 255
"""What `multiprocessing` reports for a worker whose fork server ended before it."""
_PATIENCE = 5.0
"""Seconds within which a dying process is dead."""


def require_main_guard() -> None:
    """End a worker process whose import of the main script reaches a run.

    Its parent reads the exit code and reports it; the worker itself would run everything again and print a traceback.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        sys.stdout.flush()
        os._exit(_EXIT_CODE)  # a fork server answers any exception, SystemExit too, with 1


def left_for_want_of_guard(workers: Iterable[BaseProcess]) -> bool:
    """Whether one of these dead or dying workers, or the fork server before it, was ended by `require_main_guard`.

    A fork server imports the script before it starts anything. One that was killed is told apart by its exit code.
    """
    found = list(workers)
    for worker in found:
        worker.join(timeout=_PATIENCE)
    codes = {worker.exitcode for worker in found}
    return _EXIT_CODE in codes or (_SERVER_GONE in codes and _code_of_fork_server() == _EXIT_CODE)


def _code_of_fork_server() -> int | None:
    """Exit code of the newest fork server, which can still be waited for; None if it is alive or was killed."""
    from multiprocessing import forkserver  # not on Windows

    server = getattr(forkserver, "_forkserver")  # noqa: B009, which only its module is meant to know
    if server._forkserver_pid is None:
        return None
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        try:
            ended = os.waitid(os.P_PID, server._forkserver_pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        except ChildProcessError:
            return None
        if ended is not None:
            return ended.si_status if ended.si_code == os.CLD_EXITED else None
        time.sleep(0.01)
    return None

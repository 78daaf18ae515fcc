"""Scripts without a main guard: worker processes import the main script, and would run it again."""

import multiprocessing
import os
import sys
from collections.abc import Iterable
from multiprocessing.process import BaseProcess

NO_GUARD = (
    "the script has no main guard: worker processes import it, and would run it again. Put what it does under "
    'if __name__ == "__main__": (or do without workers: `workers=0`, and `jobs=1` in a comparison)'
)
_EXIT_CODE = 77
"""Of a worker process that came to a run while it imported the script that started it."""

_SERVER_GONE = 255
"""What `multiprocessing` reports where its fork server, which imports the script first, has left."""


def require_main_guard() -> None:
    """Leave a worker process whose import of the main script comes to a run.

    Its parent reads the exit code and tells; the worker itself would run everything again, and print a traceback.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        sys.stdout.flush()
        os._exit(_EXIT_CODE)  # a fork server answers any exception, SystemExit too, with 1


def left_for_want_of_guard(workers: Iterable[BaseProcess]) -> bool:
    """Whether one of these dead or dying workers left by `require_main_guard`."""
    found = list(workers)
    for worker in found:
        worker.join(timeout=5)
    return any(worker.exitcode in (_EXIT_CODE, _SERVER_GONE) for worker in found)

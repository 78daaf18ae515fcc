"""Graceful shutdown on SIGTERM, by which schedulers preempt a job: save, say how to continue, exit."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from unmask.errors import PreemptionError

STOPPED = "stopped by SIGTERM; what was finished is kept, run again with `resume=True`"
_ASKED = threading.Event()  # set in this process if another one decides that its training must save and end
_Handler = Callable[[int, FrameType | None], None]


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """While the body runs, SIGTERM raises `PreemptionError` wherever the program is, as Ctrl-C does."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise PreemptionError(STOPPED)

    with _handling(stop):
        yield


@contextmanager
def noticing() -> Iterator[Callable[[], bool]]:
    """While the body runs, SIGTERM is only noted, for the next gap between steps; yields a function that reports it.

    `request_stop` counts like it.
    """
    came = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        came.set()

    with _handling(note):
        yield lambda: came.is_set() or _ASKED.is_set()


def request_stop() -> None:
    """Make a training in any thread of this process end after its current step, as SIGTERM would."""
    _ASKED.set()


def begin_again() -> None:
    """Clear that request: another training starts."""
    _ASKED.clear()


@contextmanager
def _handling(handler: _Handler) -> Iterator[None]:
    """Install a handler temporarily. Only Python's main thread may set one: in another thread nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

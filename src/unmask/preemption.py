"""SIGTERM, by which schedulers announce that they take a machine back: save, say how to go on, leave."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from unmask.errors import PreemptionError

STOPPED = "stopped by SIGTERM; what was finished is kept, run again with `resume=True`"
_ASKED = threading.Event()  # of this process, where another one decides: that its training shall save and end
_Handler = Callable[[int, FrameType | None], None]


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """While the body runs SIGTERM raises `PreemptionError` wherever the program is, as Ctrl-C does."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise PreemptionError(STOPPED)

    with _handling(stop):
        yield


@contextmanager
def noticing() -> Iterator[Callable[[], bool]]:
    """While the body runs SIGTERM is only noted, to be acted on between two steps; gives a function that tells.

    `request_stop` counts like it.
    """
    came = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        came.set()

    with _handling(note):
        yield lambda: came.is_set() or _ASKED.is_set()


def request_stop() -> None:
    """End the training that runs in any thread of this process after its step, as SIGTERM would."""
    _ASKED.set()


def begin_again() -> None:
    """Forget that request: another training begins."""
    _ASKED.clear()


@contextmanager
def _handling(handler: _Handler) -> Iterator[None]:
    """A handler for a while. Python lets the main thread alone set one: in another thread nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

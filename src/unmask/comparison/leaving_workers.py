"""Workers whose time ends, by Dask's lifetime or SIGTERM: what they have begun is saved, and goes on elsewhere."""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from unmask.preemption import request_stop

AT_WORK = threading.Lock()
"""Of this process: held while a piece is at work."""
_NAME = "unmask"
"""Of the plugin of workers."""
_PACKING = 60.0
"""Seconds before the end of a worker's lifetime in which a training saves and its files are sent."""
_SAVING = 20.0
"""Seconds after SIGTERM in which a piece saves and ends: SLURM and Kubernetes kill what is left after 30."""
_TELLING = 0.5
"""Seconds in which the client fetches what the piece has left, and another worker gets it."""
_PARTING = 4.0
"""Seconds in which the scheduler takes leave of a worker."""
_LEAVING = threading.Event()


def is_leaving() -> bool:
    """Whether SIGTERM has come to this worker."""
    return _LEAVING.is_set()


def worker_plugin() -> Any:
    """What makes a worker leave in this way; registered with the client, for workers that join later, too."""
    from distributed import WorkerPlugin

    class EndingPieces(WorkerPlugin):
        name = _NAME
        stops: float | None = None
        """When a piece whose files have a way to go is stopped."""

        def setup(self, worker: Any) -> None:
            if worker.lifetime:
                self.stops = stops_at(worker.lifetime)
            leave_on_sigterm(worker)

        def teardown(self, worker: Any) -> None:
            if worker.status.name == "closing":  # another client registers the plugin anew in a worker that stays
                request_stop()

    return EndingPieces()


def nanny_plugin() -> Any:
    """What makes the parent of a worker, to which SIGTERM comes as well or alone, wait for it: it would kill it after
    8 seconds."""
    from distributed.diagnostics.plugin import NannyPlugin

    class WaitingNanny(NannyPlugin):
        name = f"{_NAME}-nanny"

        async def teardown(self, nanny: Any) -> None:
            await see_off(nanny)

    return WaitingNanny()


@contextmanager
def leaving_early() -> Iterator[None]:
    """While the body runs a training is asked to save before the lifetime of this worker ends, so that what it has
    saved still reaches the client."""
    from distributed import get_worker

    stops = get_worker().plugins[_NAME].stops
    if stops is None:
        yield
        return
    timer = threading.Timer(max(0.0, stops - time.monotonic()), request_stop)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def stops_at(lifetime: float) -> float:
    """When, by the monotonic clock, a worker that has so many seconds stops a piece: a minute, or a fifth, before."""
    return time.monotonic() + lifetime - min(_PACKING, lifetime / 5)


def leave_on_sigterm(worker: Any) -> None:
    """Let SIGTERM, which would end this process at once, end its piece and then the worker. A worker that shares its
    process with a client does not hear it."""
    loop = asyncio.get_running_loop()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: asyncio.run_coroutine_threadsafe(_leave(worker), loop))


async def see_off(nanny: Any) -> None:
    """Pass SIGTERM on to the worker of a nanny that closes, and wait for its end."""
    if sys.platform == "win32" or not nanny.pid:  # where SIGTERM cannot be handled
        return
    with suppress(ProcessLookupError):
        os.kill(nanny.pid, signal.SIGTERM)
    until = time.monotonic() + _SAVING + _TELLING + _PARTING
    while nanny.pid and time.monotonic() < until:
        await asyncio.sleep(0.05)


async def _leave(worker: Any) -> None:
    """Take no other piece, wait for the one at work, and close.

    What the piece has left was told before, so it does not count as lost with its worker.
    """
    from distributed.core import Status

    if _LEAVING.is_set():
        return
    _LEAVING.set()
    worker.status = Status.closing_gracefully
    request_stop()
    until = time.monotonic() + _SAVING
    if AT_WORK.locked():
        while AT_WORK.locked() and time.monotonic() < until:
            await asyncio.sleep(0.02)
        await asyncio.sleep(_TELLING)
    with suppress(Exception):  # the scheduler may be gone, too
        retired = worker.scheduler.retire_workers(
            workers=[worker.address], close_workers=False, remove=True, stimulus_id=f"unmask-leave-{time.time()}"
        )
        await asyncio.wait_for(retired, _PARTING)
    await worker.close(nanny=False, reason="SIGTERM")

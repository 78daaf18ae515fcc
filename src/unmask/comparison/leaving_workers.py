"""Graceful shutdown of workers, by Dask's lifetime or SIGTERM: unfinished pieces are saved and resume elsewhere."""

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
"""Held while this process works on a piece."""
_NAME = "unmask"
"""Name of the workers' plugin."""
_PACKING = 60.0
"""Seconds before the end of a worker's lifetime for a training to save and send its files."""
_SAVING = 20.0
"""Seconds after SIGTERM for a piece to save and end: SLURM and Kubernetes send SIGKILL after 30."""
_TELLING = 0.5
"""Seconds for the client to fetch the piece's files, and for another worker to get them."""
_PARTING = 4.0
"""Seconds for the scheduler to retire a worker."""
_LEAVING = threading.Event()


def is_leaving() -> bool:
    """Whether this worker has received SIGTERM."""
    return _LEAVING.is_set()


def worker_plugin() -> Any:
    """Return a plugin that lets a worker shut down gracefully; once registered, it also applies to later workers."""
    from distributed import WorkerPlugin

    class EndingPieces(WorkerPlugin):
        name = _NAME
        stops: float | None = None
        """When a piece is stopped whose files must travel to the client."""

        def setup(self, worker: Any) -> None:
            if worker.lifetime:
                self.stops = stops_at(worker.lifetime)
            leave_on_sigterm(worker)

        def teardown(self, worker: Any) -> None:
            if worker.status.name == "closing":  # another client registers the plugin again in a worker that stays
                request_stop()

    return EndingPieces()


def nanny_plugin() -> Any:
    """Return a plugin that makes a worker's parent process wait for it after SIGTERM instead of killing it after 8
    seconds. The parent receives the signal as well, or alone."""
    from distributed.diagnostics.plugin import NannyPlugin

    class WaitingNanny(NannyPlugin):
        name = f"{_NAME}-nanny"

        async def teardown(self, nanny: Any) -> None:
            await see_off(nanny)

    return WaitingNanny()


@contextmanager
def leaving_early() -> Iterator[None]:
    """While the body runs, ask a training to save before the lifetime of this worker ends, so that its files still
    reach the client."""
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
    """Monotonic time at which a worker with this many seconds left stops a piece: a minute, or a fifth, before."""
    return time.monotonic() + lifetime - min(_PACKING, lifetime / 5)


def leave_on_sigterm(worker: Any) -> None:
    """Let SIGTERM, which would end this process immediately, end its piece and then the worker. A worker that shares
    its process with a client does not handle it."""
    loop = asyncio.get_running_loop()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: asyncio.run_coroutine_threadsafe(_leave(worker), loop))


async def see_off(nanny: Any) -> None:
    """Pass SIGTERM on to the worker of a closing nanny, and wait for it to end."""
    if sys.platform == "win32" or not nanny.pid:  # SIGTERM cannot be handled there
        return
    with suppress(ProcessLookupError):
        os.kill(nanny.pid, signal.SIGTERM)
    until = time.monotonic() + _SAVING + _TELLING + _PARTING
    while nanny.pid and time.monotonic() < until:
        await asyncio.sleep(0.05)


async def _leave(worker: Any) -> None:
    """Accept no further piece, wait for the current one, and close.

    The piece's files were reported before, so it does not count as lost with its worker.
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
    with suppress(Exception):  # the scheduler may be gone too
        retired = worker.scheduler.retire_workers(
            workers=[worker.address], close_workers=False, remove=True, stimulus_id=f"unmask-leave-{time.time()}"
        )
        await asyncio.wait_for(retired, _PARTING)
    await worker.close(nanny=False, reason="SIGTERM")

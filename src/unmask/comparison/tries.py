"""Pieces on the workers of a Dask client, retried when they fail."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Thread
from typing import Any

TRIES = 3
"""How often a failing piece is tried."""


class PieceError(Exception):
    """Why a piece failed, in one line that begins with the worker's host; and the worker's address."""

    def __init__(self, line: str, worker: str) -> None:
        super().__init__(line, worker)
        self.worker = worker

    def __str__(self) -> str:
        return str(self.args[0])


class Tries:
    """Pieces that are handed out, and after a failure again, to a worker on which they did not fail if possible.

    A worker with a full disk or a broken GPU fails immediately and is free again immediately: Dask's own retries would
    all go to it.
    """

    def __init__(self, client: Any) -> None:
        """For the workers of a Dask client."""
        self._client, self._executors = client, list[Any]()
        self._first: dict[tuple[str, ...] | None, Any] = {}

    def submit(
        self, function: Callable[..., Any], *arguments: Any, hosts: tuple[str, ...] | None = None
    ) -> Future[Any]:
        """A future of function(*arguments), with the last error if it fails `TRIES` times; started on one of `hosts`,
        or anywhere."""
        if hosts not in self._first:
            only = {} if hosts is None else {"workers": list(hosts)}
            self._first[hosts] = self._client.get_executor(pure=False, **only)
            self._executors.append(self._first[hosts])
        whole: Future[Any] = Future()
        self._begin(self._first[hosts], whole, (function, *arguments), [])
        return whole

    def cancel(self) -> None:
        """Cancel waiting pieces."""
        for executor in self._executors:
            executor.shutdown(wait=False)

    def _begin(self, executor: Any, whole: Future[Any], call: Sequence[Any], errors: Sequence[PieceError]) -> None:
        begun = executor.submit(*call)
        begun.add_done_callback(lambda ended: self._end(ended, whole, call, errors))

    def _end(self, ended: Future[Any], whole: Future[Any], call: Sequence[Any], errors: Sequence[PieceError]) -> None:
        """End the whole with an ended attempt, unless it failed and is tried again."""
        if ended.cancelled():
            whole.cancel()
            whole.set_running_or_notify_cancel()
        elif (error := ended.exception()) is None:
            whole.set_result(ended.result())
        elif isinstance(error, PieceError) and len(errors) + 1 < TRIES:
            # Dask calls this from its event loop, which a query of the workers must not block.
            Thread(target=self._begin_again, args=(whole, call, [*errors, error]), daemon=True).start()
        else:
            whole.set_exception(error)

    def _begin_again(self, whole: Future[Any], call: Sequence[Any], errors: Sequence[PieceError]) -> None:
        try:
            failed = {error.worker for error in errors}
            others = [worker for worker in self._client.nthreads() if worker not in failed]
            elsewhere = {"workers": others, "allow_other_workers": True} if others else {}
            self._executors.append(self._client.get_executor(pure=False, **elsewhere))
            self._begin(self._executors[-1], whole, call, errors)
        except Exception:  # the scheduler is gone
            whole.set_exception(errors[-1])

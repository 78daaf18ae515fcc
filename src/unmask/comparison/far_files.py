"""Files for machines that do not see the comparison's folder: sent to each once, in chunks, checked by digest."""

import hashlib
import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from unmask.comparison.far_worker import BackFile, Parcel, SentFile, append_chunk, arrive, finish_file, forget
from unmask.comparison.kept_networks import NetworkFile, drop_outranked
from unmask.comparison.pieces import Task, config_of, file_of, folder_of
from unmask.data.shared_file import DataFile, digest_of, digest_of_file
from unmask.errors import UserError
from unmask.runs.files import atomic_path
from unmask.runs.layout import ENCODER_FILE, is_cut_off
from unmask.wording import plural

CHUNK = 2**22
"""Bytes per chunk of a file: this much of it is in memory here, and in transit."""
MOST = 8 * 2**30
"""Size in bytes of the largest file that is sent."""


class FarFiles:
    """The files of a folder on machines that do not see it."""

    def __init__(self, client: Any, out: Path) -> None:
        """For the workers of a Dask client."""
        self._client, self._out = client, out
        self.key = hashlib.blake2b(f"{platform.node()}:{out}".encode(), digest_size=8).hexdigest()
        self.machines: dict[str, list[str]] = {}
        """Workers that do not see the folder, by an id of their machines."""
        self._there: dict[str, set[str]] = {}
        self._known: dict[Path, tuple[int, SentFile]] = {}
        self._data_mib = 0.0

    def meet(self, workers: Sequence[str]) -> None:
        """Find out which of these workers do not see the folder; new machines get what others were sent.

        Raises:
            UserError: a machine cannot keep the files.
        """
        probe = next(path for path in (self._out, *self._out.parents) if path.is_dir()) / f".probe.{os.getpid()}.tmp"
        try:
            probe.write_text(self.key)
            answers = self._client.run(arrive, str(probe), self.key, workers=list(workers), on_error="return")
        finally:
            probe.unlink(missing_ok=True)
        for worker, machine in answers.items():
            if isinstance(machine, str):
                self.machines.setdefault(machine, []).append(worker)
        for _, sent in self._known.values():
            self._send(sent)

    def parcel(self, task: Task, data: DataFile | None) -> Parcel | None:
        """What a task needs there, once it has been sent; None if all workers see the folder.

        Raises:
            UserError: a file is too large, or a machine cannot keep it.
        """
        if not self.machines:
            return None
        if data is not None:
            self.send_data(data)
        init, file = weights_of(task) or (None, None)
        weights, begun = None if file is None else self._carry(file), tuple(map(self._carry, begun_of(task)))
        return Parcel(self.key, str(self._out), init, weights, begun)

    def send_data(self, data: DataFile) -> None:
        """Send the data to all machines that do not see the folder.

        Raises:
            UserError: see `parcel`.
        """
        self._carry(Path(data.path), data.digest)
        self._data_mib = Path(data.path).stat().st_size / 2**20

    def take(self, task: Task, files: Sequence[BackFile]) -> None:
        """Write the files that a piece has sent back, the one that means "finished" last.

        Raises:
            UserError: one differs from what was sent.
        """
        last = file_of(task)
        for file in sorted(files, key=lambda file: self._out / file.name == last):
            if digest_of(file.content) != file.digest:
                raise UserError(f"{self._out / file.name}: arrived changed; continue with `resume=True`")
            with atomic_path(self._out / file.name) as path:
                path.write_bytes(file.content)
        network = next((one for one in task[1] if isinstance(one, NetworkFile)), None)
        if network is not None:
            drop_outranked(self._out, network)

    def notes(self) -> list[str]:
        """How much data was sent, and to how many machines."""
        if not self.machines:
            return []
        there = plural(len(self.machines), "machine")
        return [
            f"{there} did not see {self._out}: data ({self._data_mib:.1f} MiB) and encoders were sent to each, and "
            "results came back through the scheduler"
        ]

    def close(self) -> None:
        """Delete the files on those machines."""
        for workers in self.machines.values():
            with suppress(Exception):  # lost machines have lost them too
                self._client.run(forget, self.key, workers=workers[:1], on_error="ignore")

    def _carry(self, path: Path, digest: str | None = None) -> SentFile:
        changed = path.stat().st_mtime_ns
        if path not in self._known or self._known[path][0] != changed:
            if (size := path.stat().st_size) > MOST:
                raise UserError(
                    f"{path}: {size / 2**30:.0f} GiB would have to be sent to machines that do not see it, more than "
                    f"{MOST / 2**30:.0f} GiB: give an `out` on a file system that all machines have at the same path"
                )
            self._known[path] = changed, SentFile(str(path), digest or digest_of_file(path))
        sent = self._known[path][1]
        self._send(sent)
        return sent

    def _send(self, sent: SentFile) -> None:
        """Send a file to one worker of every machine without it; lost machines are forgotten."""
        here = set(self._client.nthreads())
        self.machines = {
            machine: alive for machine, known in self.machines.items() if (alive := [w for w in known if w in here])
        }
        lacking = [machine for machine in self.machines if sent.digest not in self._there.get(machine, ())]
        if not lacking or not Path(sent.path).exists():
            return
        workers = [self.machines[machine][0] for machine in lacking]
        with Path(sent.path).open("rb") as stream:
            start = 0
            while chunk := stream.read(CHUNK):
                self._tell(append_chunk, workers, sent, start, chunk)
                start += len(chunk)
        self._tell(finish_file, workers, sent)
        for machine in lacking:
            self._there.setdefault(machine, set()).add(sent.digest)

    def _tell(self, function: Any, workers: Sequence[str], *arguments: Any) -> None:
        answers = self._client.run(function, self.key, *arguments, workers=list(workers), on_error="return")
        for worker, error in answers.items():
            if isinstance(error, Exception) and worker in self._client.nthreads():
                raise UserError(f"{worker}: cannot store the files sent to it ({error})")


def weights_of(task: Task) -> tuple[str, Path] | None:
    """The weights from which a task starts, if they are a file: their name in the task, and the file."""
    init = getattr(config_of(task), "init", None)
    files = [] if init is None else [file for file in (Path(init), Path(init, ENCODER_FILE)) if file.is_file()]
    return (str(init), files[0]) if files else None


def begun_of(task: Task) -> list[Path]:
    """The existing files of a pretraining."""
    folder = folder_of(task)
    return [] if folder is None else [p for p in sorted(folder.rglob("*")) if p.is_file() and not is_cut_off(p)]

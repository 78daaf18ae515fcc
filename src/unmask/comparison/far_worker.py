"""Workers that do not see the comparison's folder: they store what is sent, and work in a folder of their own."""

import dataclasses
import json
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unmask.comparison.pieces import Task
from unmask.data.shared_file import DataFile, digest_of, digest_of_file
from unmask.errors import UserError

_PATIENCE = 600.0
"""Seconds to wait for a file in transit."""
Rules = Sequence[tuple[str, str]]
"""Folders of the client and their replacements here; the first that contains a path counts."""


@dataclass(frozen=True)
class SentFile:
    """A file by its path on the client."""

    path: str
    digest: str


@dataclass(frozen=True)
class Parcel:
    """What a task needs on a machine that does not see the comparison's folder."""

    key: str
    """Id of the comparison, which separates its files from those of others."""
    out: str
    """The folder on the client."""
    init: str | None
    """The weights from which it starts, by their name in the task: a file or a run folder; None without a file."""
    weights: SentFile | None
    begun: tuple[SentFile, ...]
    """The files of a pretraining that is resumed."""


@dataclass(frozen=True)
class BackFile:
    """A file to send to the client."""

    name: str
    """Path in the comparison's folder."""
    content: bytes
    digest: str


def arrive(probe: str, key: str, dask_worker: Any = None) -> str | None:
    """None if this worker sees a file with this text; else an id of its machine, or of its part of one."""
    if Path(probe).is_file() and Path(probe).read_text() == key:
        return None
    box = _box(key, dask_worker)
    box.mkdir(parents=True, exist_ok=True)
    return f"{socket.gethostname()}:{box.stat().st_dev}:{box.stat().st_ino}"


def append_chunk(key: str, sent: SentFile, start: int, chunk: bytes, dask_worker: Any = None) -> None:
    """Store a chunk of a file."""
    with _half(key, sent.digest, dask_worker).open("wb" if start == 0 else "r+b") as stream:
        stream.seek(start)
        stream.write(chunk)


def finish_file(key: str, sent: SentFile, dask_worker: Any = None) -> None:
    """Finish a file after its last chunk.

    Raises:
        UserError: it differs from what was sent.
    """
    half = _half(key, sent.digest, dask_worker)
    if digest_of_file(half) != sent.digest:
        raise UserError(f"{sent.path}: arrived changed")
    half.replace(_box(key, dask_worker) / sent.digest)


def forget(key: str, dask_worker: Any = None) -> None:
    """Delete what was sent."""
    shutil.rmtree(_box(key, dask_worker), ignore_errors=True)


def seen_or_sent(file: DataFile, key: str, dask_worker: Any) -> DataFile:
    """Path of the data: where the client wrote them if this worker sees it, else where they were sent."""
    return file if Path(file.path).is_file() else replace(file, path=str(_box(key, dask_worker) / file.digest))


def here(file: DataFile, key: str) -> tuple[DataFile, bool]:
    """Path of the data on this worker, and whether it differs from the client's.

    Raises:
        UserError: the data do not arrive.
    """
    until = time.monotonic() + _PATIENCE
    while not Path(file.path).is_file():
        if Path((sent := seen_or_sent(file, key, _worker())).path).is_file():
            return sent, sent != file
        if time.monotonic() > until:
            raise UserError(f"{file.path}: neither visible to this worker nor sent to it")
        time.sleep(0.1)
    return file, False


@dataclass(frozen=True)
class FarPiece:
    """A task as it runs in a folder of this machine."""

    task: Task
    out: Path
    """Replacement of the comparison's folder."""
    rules: Rules

    def files(self) -> Iterator[BackFile]:
        """All files of the folder, with the client's paths."""
        back = [(local, there) for there, local in self.rules]
        for path in sorted(self.out.rglob("*")):
            if path.is_file():
                content = _told(path.read_text(), back).encode() if path.suffix == ".json" else path.read_bytes()
                yield BackFile(path.relative_to(self.out).as_posix(), content, digest_of(content))


@contextmanager
def far_piece(task: Task, parcel: Parcel) -> Iterator[FarPiece]:
    """A task with the files that it needs, in a folder that is deleted at the end."""
    box = _box(parcel.key, _worker())
    with tempfile.TemporaryDirectory(dir=box) as name:
        out, rules = Path(name, "out"), list[tuple[str, str]]()
        out.mkdir()
        if parcel.init is not None and parcel.weights is not None:
            local = Path(name, "init", Path(parcel.init).name)
            rules.append((parcel.init, str(local)))
            _copy(box, parcel.weights, local / Path(parcel.weights.path).relative_to(parcel.init))
        rules.append((parcel.out, str(out)))
        for sent in parcel.begun:
            to = out / Path(sent.path).relative_to(parcel.out)
            _copy(box, sent, to)
            if to.suffix == ".json":
                to.write_text(_told(to.read_text(), rules))
        yield FarPiece(_relocated(task, rules), out, rules)


def _copy(box: Path, sent: SentFile, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(box / sent.digest, to)


def _told(text: str, rules: Rules) -> str:
    """JSON with its folders replaced."""
    for old, new in rules:
        before, after = (json.dumps(path)[1:-1] for path in (old, new))
        text = after.join(re.split(rf'(?<="){re.escape(before)}(?=["/])', text))
    return text


def _relocated(value: Any, rules: Rules) -> Any:
    """A value with the folders replaced in all its paths, and in all texts that are paths."""
    if isinstance(value, str | Path):
        found = next((rule for rule in rules if f"{value}/".startswith(f"{rule[0]}/")), None)
        return value if found is None else type(value)(found[1] + str(value)[len(found[0]) :])
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        inner = {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
        changed = {name: new for name, old in inner.items() if (new := _relocated(old, rules)) is not old}
        return replace(value, **changed) if changed else value
    if type(value) is tuple:
        inside = tuple(_relocated(one, rules) for one in value)
        return inside if any(new is not old for new, old in zip(inside, value, strict=True)) else value
    return value


def _worker() -> Any:
    from distributed import get_worker

    return get_worker()


def _box(key: str, worker: Any) -> Path:
    """Folder for the files of a comparison: beside the folders of Dask's workers."""
    return Path(worker.local_directory).parent / f"unmask-{key}"


def _half(key: str, digest: str, worker: Any) -> Path:
    return _box(key, worker) / f".{digest}.tmp"

"""JSON and other files on disk, written so that a kill at any time loses nothing already there."""

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unmask.config import to_json
from unmask.config.serialize import parse_json
from unmask.errors import UserError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Write to the yielded temporary path; on success it is flushed to disk and renamed over `path`, else removed.

    The file gets the permissions of the umask, whatever wrote it: safetensors writes only for the owner.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.touch()
        mode = stat.S_IMODE(temporary.stat().st_mode)
        yield temporary
        temporary.chmod(mode)
        with temporary.open("rb+") as stream:
            _flush(stream.fileno())
        temporary.replace(path)
        _flush_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows and some mounts cannot open a folder: the file in it is written anyway
        return
    try:
        _flush(descriptor)
    finally:
        os.close(descriptor)


def _flush(descriptor: int) -> None:
    """Flush the bytes to disk; some mounts do not support it, which is not a failed write."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.ENOSYS):
            raise


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write a file atomically, a text as UTF-8; returns the path."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_json(path: Path, value: Any) -> None:
    """Write plain values, a configuration or a record as JSON: atomically, indented, keys in their order."""
    write_whole(path, json.dumps(to_json(value), indent=1, ensure_ascii=False, allow_nan=True) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises UserError that names the file if it is missing or not JSON (see `parse_json`)."""
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: no such file; is {path.parent} a run folder?") from None
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error})") from None

"""Files are written whole or not at all, on any mount."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from unmask.errors import UserError
from unmask.runs.files import atomic_path, read_json, write_json
from unmask.runs.lock import holding, remove_cut_off, wait_until_free

HOLD = """
import sys, time
from pathlib import Path
from unmask.runs.lock import holding
with holding(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EBADF, errno.ENOTSUP])
def test_a_mount_that_cannot_flush_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Network and FUSE mounts refuse fsync of files or folders."""

    def refuse(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    write_json(tmp_path / "x.json", {"a": 1})
    assert read_json(tmp_path / "x.json") == {"a": 1}


@pytest.mark.case("a mount, or Windows, on which no folder can be opened ended the first write")
def test_a_mount_that_opens_no_folder_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a flush of the folder, and without its lock; one that is not there is still an error."""
    plain = os.open

    def refuse(path: object, *rest: int) -> int:
        if Path(str(path)).is_dir():
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return plain(str(path), *rest)

    monkeypatch.setattr(os, "open", refuse)
    with holding(tmp_path):
        write_json(tmp_path / "x.json", {"a": 1})
    assert read_json(tmp_path / "x.json") == {"a": 1}
    with pytest.raises(FileNotFoundError), holding(tmp_path / "gone"):
        pass


def test_a_disk_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    write_json(tmp_path / "x.json", {"a": 1})
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="Input/output"):
        write_json(tmp_path / "x.json", {"a": 2})
    assert read_json(tmp_path / "x.json") == {"a": 1}


def test_what_is_flushed_is_open_for_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows flushes no file that is open for reading only."""
    fcntl = pytest.importorskip("fcntl")
    flags = []
    monkeypatch.setattr(os, "fsync", lambda number: flags.append(fcntl.fcntl(number, fcntl.F_GETFL)))
    with atomic_path(tmp_path / "x") as temporary:
        temporary.write_text("a")
    assert flags[0] & os.O_ACCMODE == os.O_RDWR


def test_a_folder_belongs_to_one_command_until_it_dies(tmp_path: Path) -> None:
    """Also by SIGKILL, which lets no process clean up."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="another command is running in this folder"), holding(tmp_path):
            pass
        other.send_signal(signal.SIGKILL)
    for _ in range(2):
        with holding(tmp_path):
            pass


def test_a_folder_that_is_held_is_waited_for(tmp_path: Path) -> None:
    """Until its holder ends; one that nobody holds, or that is not there, not at all."""
    wait_until_free(tmp_path)
    wait_until_free(tmp_path / "not there")
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        threading.Timer(0.3, other.kill).start()
        wait_until_free(tmp_path)
        assert other.wait(timeout=10) == -signal.SIGKILL


def test_a_forked_worker_does_not_keep_the_folder(tmp_path: Path) -> None:
    """A data worker that outlives its killed command for a while: the next --resume must not wait for it."""
    (end, other), (begun, begin) = os.pipe(), os.pipe()
    with holding(tmp_path):
        child = os.fork()
        if child == 0:
            os.close(other)
            os.write(begin, b"1")
            os.read(end, 1)  # until the parent closes its side
            os._exit(0)
        assert os.read(begun, 1) == b"1"
    try:
        with holding(tmp_path):
            pass
    finally:
        os.close(other)
        os.waitpid(child, 0)
        for descriptor in (end, begun, begin):
            os.close(descriptor)


def test_half_files_of_killed_saves_are_removed(tmp_path: Path) -> None:
    kept = [tmp_path / "config.json", tmp_path / "a" / "b.tmp"]
    for path in (*kept, tmp_path / ".config.json.17.tmp", tmp_path / "a" / ".b.json.18.tmp"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    remove_cut_off(tmp_path)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)

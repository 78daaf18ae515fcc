"""Allow one command per run folder: a kernel lock on the folder itself, released however the process ends."""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from unmask.errors import UserError

try:
    import fcntl
except ImportError:  # Windows has no lock of this kind: two commands on one folder are not detected there
    fcntl = None  # type: ignore[assignment]


class _Lock:
    """An open folder that is locked. Processes forked from this one, such as data workers, close their copy of it:
    otherwise the lock would outlive this process in them."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor: int | None = descriptor
        os.register_at_fork(after_in_child=self.close)

    def close(self) -> None:
        """Close the folder, once."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


@contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Lock an existing run folder during the body. File systems without locks are not protected.

    Raises:
        UserError: another process holds it.
    """
    lock = _locked(folder)
    try:
        yield
    finally:
        if lock is not None:
            lock.close()


def wait_until_free(folder: Path) -> None:
    """Wait until no other process holds a run folder; one that does not exist is free."""
    while True:
        try:
            with holding(folder):
                return
        except FileNotFoundError:
            return
        except UserError:
            time.sleep(1)


def _locked(folder: Path) -> _Lock | None:
    """The open folder that holds the lock; None if there are no locks."""
    if fcntl is None:
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        raise
    except OSError:  # a mount on which folders cannot be opened
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise UserError(f"{folder}: another command is running in this folder; wait for it, or end it") from None
        return None
    return _Lock(descriptor)


def remove_cut_off(folder: Path) -> None:
    """Delete the partial files that killed saves left in a folder locked by this process."""
    for path in folder.rglob(".*.tmp"):
        with suppress(OSError):
            path.unlink()

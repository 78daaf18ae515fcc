"""One command per run folder: the kernel's lock on the folder itself, released by any death of the process."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from unmask.errors import UserError

try:
    import fcntl
except ImportError:  # Windows has no lock of this kind: two commands on one folder are not noticed there
    fcntl = None  # type: ignore[assignment]


@contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Hold an existing run folder while the body lasts. File systems without locks are not guarded.

    Raises:
        UserError: another process holds it.
    """
    descriptor = _locked(folder)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _locked(folder: Path) -> int | None:
    """The open folder that holds the lock; None where there are no locks."""
    if fcntl is None:
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise UserError(f"{folder}: another command is running in this folder; wait for it, or end it") from None
        return None
    return descriptor


def remove_cut_off(folder: Path) -> None:
    """Delete the half files that killed saves left in a folder that this process holds."""
    for path in folder.rglob(".*.tmp"):
        with suppress(OSError):
            path.unlink()

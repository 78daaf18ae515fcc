"""How many files, pipes and sockets this process may still open: too few hang processes that share memory."""

import os
from pathlib import Path

from unmask.errors import UserError
from unmask.wording import plural

PER_PROCESS, OWN = 12, 24
"""Open files needed here per worker process (pipes, memory of batches in transit), and a fixed number on top."""
_OPEN = Path("/proc/self/fd")


def require_open_files(processes: int, fix: str) -> None:
    """Raise `UserError` if too few files may be open for so many worker processes; `fix` avoids them."""
    limit = open_file_limit()
    if limit is None or not _OPEN.exists():
        return
    needed = len(os.listdir(_OPEN)) + OWN + PER_PROCESS * processes
    if needed > limit:
        raise UserError(
            f"only {limit} files may be open at once, and {plural(processes, 'worker')} would need {needed}: raise it "
            f"(ulimit -n {max(1024, needed)}), or give {fix}"
        )


def open_file_limit() -> int | None:
    """Files that this process may have open; None if there is no limit or the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft

"""Memory in large pages: what a training step touches is found faster.

The C library reads what is said here when a process starts, so a process cannot do it for itself. glibc 2.35 or newer
does it, on kernels that have transparent huge pages; others ignore the variable.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_TUNABLES = "GLIBC_TUNABLES"
_NAME = "glibc.malloc.hugetlb"


@contextmanager
def huge_pages() -> Iterator[None]:
    """Processes that are started in the body ask for huge pages for what they allocate, unless the user has set it."""
    if _is_set():
        yield
        return
    before = os.environ.get(_TUNABLES)
    os.environ[_TUNABLES] = f"{before}:{_NAME}=1" if before else f"{_NAME}=1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_TUNABLES]
        else:
            os.environ[_TUNABLES] = before


def restart_with_huge_pages() -> None:
    """Replace this process, once, by the same command with huge pages: same arguments, process number and streams.

    Returns if it has them already, if the user has set it, and where there are none.
    """
    if sys.platform == "linux" and not _is_set():
        with huge_pages(), suppress(OSError):
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _is_set() -> bool:
    return _NAME in os.environ.get(_TUNABLES, "")

"""Memory that was freed but that the C library has not returned to the system."""

import ctypes
import sys
from collections.abc import Callable
from functools import cache


def return_freed_memory() -> None:
    """Return the pages of freed blocks to the system if the C library can (glibc); else do nothing.

    Tensors of some MiB are freed and allocated in every step, among small blocks that stay. This makes glibc's heap
    grow: a pretraining of 1,000 steps held half as much again at its end as at its beginning, all of it free.
    """
    trim = malloc_trim()
    if trim is not None:
        trim(0)


@cache
def malloc_trim() -> Callable[[int], int] | None:
    """The C library's function for it; None if there is none."""
    if sys.platform != "linux":
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)

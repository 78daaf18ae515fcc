"""Memory that was freed, and that the C library keeps from the system."""

import ctypes
import sys
from collections.abc import Callable
from functools import cache


def return_freed_memory() -> None:
    """Give the pages of freed blocks back to the system, where the C library can (glibc); else nothing.

    Tensors of some MiB are freed and allocated in every step, among small blocks that stay. glibc's heap grows over
    that: a pretraining of 1,000 steps held half as much again at its end as at its beginning, all of it free.
    """
    trim = malloc_trim()
    if trim is not None:
        trim(0)


@cache
def malloc_trim() -> Callable[[int], int] | None:
    """The call of the C library that does it; None where there is none."""
    if sys.platform != "linux":
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)

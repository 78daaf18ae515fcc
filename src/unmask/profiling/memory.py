"""Memory of this process, as the system counts it."""

import resource
import sys
from contextlib import suppress
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Peak:
    """How much the memory of this process has grown since the object was created.

    On Linux the system's record of peak memory is reset, so that earlier work does not hide the growth;
    elsewhere it may.
    """

    def __init__(self) -> None:
        self.before = held_mib()
        with suppress(OSError):
            _RESET.write_text("5")

    def grown_mib(self) -> float:
        """Peak MiB since then, beyond those held at first."""
        return max(0.0, peak_mib() - self.before)


def held_mib() -> float:
    """MiB in use now; the peak if the system does not say."""
    return _from_status("VmRSS") or peak_mib()


def own_mib() -> float:
    """MiB in use now that no other process of the same program can share, that is, without its libraries."""
    return _from_status("RssAnon") or held_mib()


def peak_mib() -> float:
    """Peak MiB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return _from_status("VmHWM") or most / (2**20 if sys.platform == "darwin" else 2**10)


def _from_status(field: str) -> float | None:
    """A field of /proc/self/status in MiB; None if it is missing."""
    with suppress(OSError, StopIteration, ValueError):
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
        return int(line.split()[1]) / 2**10
    return None

"""What a user reads when work ends early: a single line that says why and how to continue."""

from unmask.wording import printable


class UserError(ValueError):
    """Bad input. The command line prints the message on one line and exits with code 2, without a traceback.

    The message names the file, field or value and says how to fix it. Names in it are shown, not obeyed: control
    characters are written as escapes.
    """

    def __init__(self, message: object) -> None:
        super().__init__(printable(message))


class PreemptionError(Exception):
    """SIGTERM was received. The command prints the message, which says how to continue, and exits with `PREEMPTED`."""


PREEMPTED = 143
"""Exit code of a process ended by SIGTERM."""


_NO_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "ALLOC_FAILED", "failed to map segment")
"""Found in RuntimeErrors of torch's CPU allocator, of CUDA and its libraries, and in ImportErrors."""
NO_THREAD = "can't start new thread"
"""Found in the RuntimeError that Python raises if the system allows no further thread."""
KILLED_WORKER = "DataLoader worker"
"""Found in the RuntimeError that torch raises, at any time, after a process that decodes was killed."""
WORKER_MESSAGE = (
    "a process that reads images was killed, possibly because memory ran out: use fewer `workers` (0 for none) "
    "or a smaller "
    "`batch_size`; what was saved is kept, continue with `resume=True`"
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or this machine had too little memory: torch's error on a GPU, its CPU allocator's, Python's."""
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return known or any(words in str(error) for words in _NO_MEMORY)


def memory_line(error: BaseException) -> str:
    """What such an error says about the amount, in a few words."""
    first = (str(error).splitlines() or [""])[0]
    return f"out of memory ({first.split('. GPU')[0].strip(' .') or type(error).__name__})"

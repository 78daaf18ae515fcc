"""One of the processes that `launch_piece` starts: `python -m unmask.comparison.launched_process FILE`."""

import os
import pickle
import sys
import threading
from pathlib import Path

import torch

from unmask.data.shared_file import read_shared
from unmask.errors import PREEMPTED, PreemptionError, UserError, is_out_of_memory, memory_line
from unmask.preemption import stopping_at_once


def main() -> None:
    """Run the pickled task on its data. A failure is reported in one line that begins with the CLI's exit code."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    (function, arguments), file = pickle.loads(Path(sys.argv[1]).read_bytes())
    try:
        with stopping_at_once():
            function(*arguments, read_shared(file))
    except PreemptionError as error:
        _leave(PREEMPTED, str(error))
    except (UserError, OSError) as error:
        _leave(2, str(error))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        _leave(2, memory_line(error))


def _leave(code: int, line: str) -> None:
    print(f"unmask {code}: {line.splitlines()[0] if line else ''}", file=sys.stderr, flush=True)
    sys.exit(code)


def _end_with_parent() -> None:
    """The parent never writes: its end of the pipe closes when it dies."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(PREEMPTED)


if __name__ == "__main__":
    main()

"""work/NAME.json: who did which training of a comparison, when, and in how long."""

import platform
import time
from pathlib import Path

from unmask.runs.files import write_json
from unmask.runs.layout import WORK
from unmask.runs.read import read_record
from unmask.runs.trial_records import PieceKind, PieceOfWork


def write_work(out: Path, kind: PieceKind, name: str, began: float) -> None:
    """Write down that this machine has now done a training.

    Args:
        name: of its file or its run folder; together with `kind` unique in a comparison.
        began: what `time.monotonic` said at its beginning.
    """
    seconds = time.monotonic() - began
    done = PieceOfWork(kind=kind, name=name, host=platform.node(), started=time.time() - seconds, seconds=seconds)
    write_json(WORK.path(out, f"{kind}-{name}"), done)


def read_work(folder: Path) -> list[PieceOfWork]:
    """What was done of a comparison, in the order in which it began; empty for one of an earlier version.

    Raises:
        UserError: what `read_record` raises.
    """
    return sorted((read_record(PieceOfWork, file) for file in WORK.found(folder)), key=lambda one: one.started)

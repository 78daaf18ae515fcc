"""work/NAME.json: which machine did which training of a comparison, when, and how long it took."""

import platform
import time
from pathlib import Path

from unmask.runs.files import write_json
from unmask.runs.layout import WORK
from unmask.runs.read import read_record
from unmask.runs.trial_records import PieceKind, PieceOfWork


def write_work(out: Path, kind: PieceKind, name: str, began: float) -> None:
    """Record that this machine has now done a training.

    Args:
        name: of its file or its run folder; together with `kind` unique in a comparison.
        began: `time.monotonic` at its start.
    """
    seconds = time.monotonic() - began
    done = PieceOfWork(kind=kind, name=name, host=platform.node(), started=time.time() - seconds, seconds=seconds)
    write_json(WORK.path(out, f"{kind}-{name}"), done)


def read_work(folder: Path) -> list[PieceOfWork]:
    """The finished trainings of a comparison, in order of their start; empty for one of an earlier version.

    Raises:
        UserError: what `read_record` raises.
    """
    return sorted((read_record(PieceOfWork, file) for file in WORK.found(folder)), key=lambda one: one.started)

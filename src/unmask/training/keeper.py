"""What a run keeps in its folder while it trains: one process writes, all continue from what it reads."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import nn
from tqdm import tqdm

from unmask.config import to_json
from unmask.distributed import fail_together, on_main
from unmask.errors import PreemptionError, UserError
from unmask.runs.metrics import Row, append_metrics
from unmask.training.checkpoint import (
    Checkpoint,
    CheckpointHeader,
    checkpoint_path,
    collect_state,
    newest,
    prune,
    save_tensors,
)
from unmask.training.sharding import gathered_by_main
from unmask.training.tracking import track
from unmask.wording import printable


@dataclass(frozen=True)
class Keeper:
    """Checkpoints, metrics and the shutdown on SIGTERM of one run."""

    engine: Accelerator
    folder: Path
    keep: int
    """Number of newest checkpoints to keep."""
    batch_size: int
    """Images per step: a checkpoint with another batch size is refused."""

    def log(self, row: Row, tracked: int | None = None) -> None:
        """Write one line to metrics.jsonl and to the tracker, there under the step `tracked` if it differs."""
        with fail_together():
            if self.engine.is_main_process:
                append_metrics(self.folder, row)
                track(self.engine, row, row.step if tracked is None else tracked)

    def save(
        self, done: int, modules: Mapping[str, nn.Module], optimizer: Any, *, more: Any = None, **facts: Any
    ) -> None:
        """Write the checkpoint of a step. `more` are additional tensors by name, `facts` fields of its header."""
        further = ((f"more/{name}", tensor) for name, tensor in (more or {}).items())
        tensors = gathered_by_main(self.engine, chain(collect_state(modules, optimizer), further))
        with fail_together():
            if self.engine.is_main_process:
                header = CheckpointHeader(
                    step=done,
                    processes=self.engine.num_processes,
                    batch_size=self.batch_size,
                    # fp16: without its scale the first steps after a resume overflow
                    scaler=None if self.engine.scaler is None else self.engine.scaler.state_dict(),
                    **facts,
                )
                save_tensors(checkpoint_path(self.folder, done), tensors, to_json(header))
                prune(self.folder, self.keep)

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint that loads, the same in every process; None without any. Skipped ones are reported.

        Raises:
            UserError: it was written with batches of another size, because another number of processes shared them.
        """
        known = on_main(lambda: newest(self.folder))
        found = known.found
        for line in known.broken:
            self._tell(f"{line}; {_where(found)}")
        if found is None:
            if not known.broken:
                self._tell(f"{self.folder}: has no checkpoint yet; {_where(found)}")
            return None
        header = found.header
        before, now = header.processes, self.engine.num_processes
        with fail_together():
            if header.batch_size != self.batch_size:
                raise UserError(
                    f"{self.folder}: `resume=True` refused, {before} processes shared batches of "
                    f"{header.batch_size}, {now} would need batches of {self.batch_size}; start {before} processes"
                )
        if before != now:
            self._tell(
                f"{self.folder} was trained by {before} processes and continues with {now}: the same images "
                "and masks in every step, but sums in another order and other dropout masks, so not bit for bit"
            )
        if self.engine.scaler is not None and header.scaler is not None:
            self.engine.scaler.load_state_dict(header.scaler)
        return found

    def _tell(self, line: str) -> None:
        if self.engine.is_main_process:
            tqdm.write(printable(f"note: {line}"), file=sys.stderr)

    def stop(self, done: int) -> None:
        """End a run that received SIGTERM, after it was saved: one process reports it."""
        with fail_together():
            raise PreemptionError(
                f"{self.folder}: stopped by SIGTERM, saved at step {done}; continue with `resume=True`"
            )


def _where(found: Checkpoint | None) -> str:
    """Where a run continues, in words."""
    if found is None:
        return "starting again at step 0"
    return f"falling back to the checkpoint before it, of step {found.header.step}"


def due(done: int, interval: float) -> bool:
    """Whether the step just done passed a multiple of the interval (in steps, may be fractional)."""
    # T / (T / n) may be slightly less than n, and the last of n evaluations would never come.
    return int(done / interval + 1e-9) > int((done - 1) / interval + 1e-9)

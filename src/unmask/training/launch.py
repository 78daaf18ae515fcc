"""How the processes that a launcher (`accelerate launch`, `torchrun`) started meet, and how they leave each other."""

import gc
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from unmask.distributed import connected, world_size
from unmask.errors import UserError

UNGUARDED = 77
"""Exit code of a worker process that came to a run while it imported the script that started it."""


def require_main_guard() -> None:
    """Leave a worker process whose import of the main script comes to a run: the script has no main guard.

    Its parent reads the exit code and tells; the worker itself would run everything again, and print a traceback.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise SystemExit(UNGUARDED)


def connect_anew(backend: str, patience: timedelta) -> None:
    """Connect processes that a launcher started anew (`torchrun --max-restarts`); the first time the engine does it.

    They meet in the store where the ended ones met, whose addresses still stand there: keep apart from those.
    """
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    if attempt == "0" or dist.is_initialized():
        return
    store, rank, world = next(rendezvous("env://", timeout=patience))
    mine = dist.PrefixStore(f"attempt {attempt}", store)
    dist.init_process_group(backend, store=mine, rank=rank, world_size=world, timeout=patience)


@contextmanager
def peers_may_connect() -> Iterator[None]:
    """Turn a failed rendezvous of the processes in the body into one line."""
    try:
        yield
    except RuntimeError as error:
        if started_processes() == 1 or not _is_of_the_exchange(error):
            raise
        raise UserError(
            f"the processes do not reach each other ({str(error).splitlines()[0][:200]}): have all been started, with "
            "the same address and port, and did none end?"
        ) from None


@contextmanager
def peers_may_end() -> Iterator[None]:
    """A process that was killed leaves the others in the middle of an exchange: one of them says so, in one line."""
    try:
        yield
    except RuntimeError as error:
        if world_size() == 1 or not _is_of_the_exchange(error):
            raise
        if not _tells():
            raise SystemExit(2) from None
        raise UserError(
            "another process of this run has ended (its own line says why; without one it was killed, possibly "
            "because memory ran out); what was saved is kept, go on with `resume=True`"
        ) from None


def _tells() -> bool:
    """Whether this process is the one to say that another has ended: the first that counts itself in the launcher's
    store. Without a launcher all say it, for the main process may be the dead one."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return True
    try:
        return dist.distributed_c10d._get_default_store().add("unmask/told", 1) == 1
    except RuntimeError:
        return True


def _is_of_the_exchange(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or "gloo" in str(error).lower() or "nccl" in str(error).lower()


def require_one_process(command: str) -> None:
    """Raise `UserError` where a launcher started several processes for a command that is made for one."""
    world = started_processes()
    if world > 1:
        raise UserError(
            f"{command} runs as one process, but {world} were started: leave accelerate launch or torchrun away "
            "(pretrain, finetune and scratch can be launched as several)"
        )


def started_processes() -> int:
    """How many processes the launcher started, as it told the environment; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1") or 1)


def is_speaker() -> bool:
    """Whether this process prints: the only one, or the first of several."""
    return started_processes() == 1 or int(os.environ.get("RANK", "0") or 0) == 0


def leave() -> None:
    """Destroy the process group, if there is one. Registered to run at exit, however the program ends.

    Else gloo's threads outlive it, and one that wants the interpreter while that ends aborts the process: its work is
    saved, but its exit code is wrong. A sharded network, which lies in a cycle of references and holds the connection,
    goes first.
    """
    if connected():
        gc.collect()
        dist.destroy_process_group()

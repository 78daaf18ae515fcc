"""How the processes started by a launcher (`accelerate launch`, `torchrun`) connect and disconnect."""

import gc
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch.distributed as dist

from unmask.distributed import connected, world_size
from unmask.errors import UserError

_SILENT = 30.0
"""Seconds between two messages of a process that waits for others; the first comes after 10."""


def meet(backend: str, patience: timedelta) -> None:
    """Wait until all processes that the launcher started have arrived, and connect them; nothing without a launcher.

    Torch would wait in one call, silently, ignoring Ctrl-C and SIGTERM. Processes that a launcher restarted
    (`torchrun --max-restarts`) meet in the store where the ended ones met: they avoid those addresses.

    Raises:
        UserError: they do not arrive within `patience`.
    """
    world = started_processes()
    if world == 1 or dist.is_initialized():
        return
    rank, end = int(os.environ["RANK"]), time.monotonic() + patience.total_seconds()
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    mine = dist.PrefixStore(f"attempt {attempt}", _store(rank, world, end))
    mine.set_timeout(patience)
    mine.add("here", 1)
    for _ in _waiting(end, lambda: f"{mine.add('here', 0)} of {world} processes have arrived"):
        if mine.add("here", 0) >= world:
            break
    dist.init_process_group(backend, store=mine, rank=rank, world_size=world, timeout=patience)


def _store(rank: int, world: int, end: float) -> dist.TCPStore:
    """The store where the processes meet: hosted by the launcher, or else by the first of them."""
    keeps = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    host, port, soon = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), timedelta(seconds=30)
    for _ in _waiting(end, lambda: "nothing answers"):
        if keeps or _answers(host, port):
            break
    return dist.TCPStore(host, port, world, keeps, timeout=soon, wait_for_workers=False, multi_tenant=True)


def _answers(host: str, port: int) -> bool:
    """Whether anything listens there; checked here because torch prints its stack while trying and ignores signals."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _waiting(end: float, state: Callable[[], str]) -> Iterator[None]:
    """Yield ten times a second until `end`; every half minute a line says what is awaited."""
    told = time.monotonic() - _SILENT + 10
    while (now := time.monotonic()) < end:
        if now - told > _SILENT:
            where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
            print(f"note: waiting for the other processes at {where}: {state()}", file=sys.stderr, flush=True)
            told = now
        yield
        time.sleep(0.1)
    raise UserError(f"the processes cannot reach each other ({state()}): were all started, with the same address?")


def require_whole_launch() -> None:
    """Raise `UserError` if the environment holds only part of what a launcher sets, as leftovers do."""
    given = {name: os.environ[name] for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK") if os.environ.get(name)}
    for name, value in given.items():
        if not value.isdecimal():
            raise UserError(f"the environment variable {name} = {value!r} is not a number; unset it")
    missing = [name for name in ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    alone = int(given.get("WORLD_SIZE", "1")) == 1 and "LOCAL_RANK" not in given
    if given and missing and not alone:
        raise UserError(
            f"the environment variables {', '.join(given)} are set, but not {', '.join(missing)}: start the processes "
            f"with accelerate launch or torchrun; for a single one unset {' '.join(given)}"
        )
    if "RANK" in given and int(given["RANK"]) >= max(1, int(given.get("WORLD_SIZE", "1"))):
        raise UserError(f"RANK = {given['RANK']} is not below WORLD_SIZE = {given.get('WORLD_SIZE', '1')}; unset both")


@contextmanager
def peers_may_connect() -> Iterator[None]:
    """Turn a failed rendezvous of the processes in the body into one line."""
    try:
        yield
    except RuntimeError as error:
        if started_processes() == 1 or not _is_of_the_exchange(error):
            raise
        raise UserError(
            f"the processes cannot reach each other ({str(error).splitlines()[0][:200]}): were all started, with "
            "the same address and port, and are all still running?"
        ) from None


@contextmanager
def peers_may_end() -> Iterator[None]:
    """If a process was killed in the middle of an exchange, one of the others reports it in one line."""
    try:
        yield
    except RuntimeError as error:
        if world_size() == 1 or not _is_of_the_exchange(error):
            raise
        if not _tells():
            raise SystemExit(2) from None
        raise UserError(
            "another process of this run has ended (its own line says why; without one it was killed, possibly "
            "because memory ran out); what was saved is kept, continue with `resume=True`"
        ) from None


def _tells() -> bool:
    """Whether this process is the one to report that another has ended: the first that counts itself in the launcher's
    store. Without a launcher all report it, since the main process may be the dead one."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return True
    try:
        return dist.distributed_c10d._get_default_store().add("unmask/told", 1) == 1
    except RuntimeError:
        return True


def _is_of_the_exchange(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or "gloo" in str(error).lower() or "nccl" in str(error).lower()


def require_one_process(command: str) -> None:
    """Raise `UserError` if a launcher started several processes for a command that supports only one."""
    world = started_processes()
    if world > 1:
        raise UserError(
            f"{command} runs as one process, but {world} were started: start it without accelerate launch or torchrun "
            "(pretrain, finetune and scratch can be launched as several)"
        )


def started_processes() -> int:
    """How many processes the launcher started, by its environment variables; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1") or 1)


def is_speaker() -> bool:
    """Whether this process prints: the only one, or the first of several."""
    return started_processes() == 1 or int(os.environ.get("RANK", "0") or 0) == 0


def leave() -> None:
    """Destroy the process group, if there is one. Registered to run at exit, however the program ends.

    Otherwise gloo's threads outlive it, and one that needs the interpreter during shutdown aborts the process: its work
    is saved, but its exit code is wrong. A sharded network, which is part of a reference cycle and holds the
    connection, is freed first.
    """
    if connected():
        gc.collect()
        dist.destroy_process_group()

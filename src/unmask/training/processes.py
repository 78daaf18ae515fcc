"""Several processes as one program: what fails in one fails in all, and one of them reads, writes and speaks.

Under `accelerate launch` or `torchrun` every process runs the same code. An error that one process alone meets (a file
that only it reads, a full disk that only the writer sees) would leave the others waiting for its numbers for ever.
`together` is where they tell each other.
"""

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from unmask.errors import PreemptionError, UserError

T = TypeVar("T")
_CODES = {UserError: 2, OSError: 2, PreemptionError: 143}


@contextmanager
def together(engine: Accelerator) -> Iterator[None]:
    """The body exchanges nothing with other processes; where it fails in some, it fails in all at its end.

    The first of the processes in which it failed raises its error; the others leave without a word, with the same exit
    code. So people read one line, whether one process met the error or all did. With one process: the body, no more.
    """
    if engine.num_processes == 1:
        yield
        return
    error: Exception | None = None
    try:
        yield
    except tuple(_CODES) as raised:
        error = raised
    codes = torch.zeros(engine.num_processes, dtype=torch.int64)
    if error is not None:
        codes[engine.process_index] = next(code for kind, code in _CODES.items() if isinstance(error, kind))
    failed = summed(engine, codes).nonzero()
    if not len(failed):
        return
    first = int(failed[0])
    if first == engine.process_index and error is not None:
        raise error
    raise SystemExit(int(codes[first])) from None


def on_main(engine: Accelerator, action: Callable[[], T]) -> T:
    """What `action` returns in the main process, in every process: the others may share no disk with it.

    Raises:
        UserError: what `action` raised, in the main process; the others leave quietly (see `together`).
    """
    result: Any = None
    with together(engine):
        if engine.is_main_process:
            result = action()
    if engine.num_processes == 1:
        return cast(T, result)
    box = [result]
    dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return cast(T, box[0])


def summed(engine: Accelerator, values: Tensor) -> Tensor:
    """The sum over processes of a tensor without gradient, in place, in every process the same bits."""
    if engine.num_processes > 1:
        dist.all_reduce(values)
    return values


def someone(engine: Accelerator, flag: bool) -> bool:
    """Whether the flag is up in any process."""
    return bool(summed(engine, torch.tensor(int(flag)))) if engine.num_processes > 1 else flag


def share(engine: Accelerator, items: Tensor) -> Tensor:
    """This process's part of the items: every W-th, from its own index on. Each item is in exactly one part."""
    return items[engine.process_index :: engine.num_processes]


def gathered(engine: Accelerator, rows: Tensor, number: int) -> Tensor:
    """The inverse of `share` for rows [n, ...] on the CPU: all `number` rows in their order, in every process."""
    world = engine.num_processes
    if world == 1:
        return rows
    padded = rows.new_zeros(-(-number // world), *rows.shape[1:])
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in range(world)]
    dist.all_gather(parts, padded)
    return torch.stack(parts, 1).flatten(0, 1)[:number]


def require_alike(engine: Accelerator, what: str, value: str) -> None:
    """Raise `UserError` where processes differ in something that must be one, such as the data they read."""
    if engine.num_processes == 1:
        return
    values: list[Any] = [None] * engine.num_processes
    dist.all_gather_object(values, value)
    with together(engine):
        if len(set(values)) > 1:
            raise UserError(
                f"{what} differs between processes ({', '.join(sorted(set(values))[:3])}): give all the same"
            )


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
    """In the body processes look for each other: that they do not meet is one line, by each that finds nobody."""
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
def peers_may_end(engine: Accelerator) -> Iterator[None]:
    """A process that was killed leaves the others in the middle of an exchange: one of them says so, in one line."""
    try:
        yield
    except RuntimeError as error:
        if engine.num_processes == 1 or not _is_of_the_exchange(error):
            raise
        if not _tells():
            raise SystemExit(2) from None
        raise UserError(
            "another process of this run has ended (its own line says why; without one it was killed, perhaps for want "
            "of memory); what was saved is kept, go on with --resume"
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


def connected() -> bool:
    """Whether a launcher's processes, or the only one that it started, have met."""
    return dist.is_available() and dist.is_initialized()


def leave() -> None:
    """End the processes' connection, where there is one; a program that has one does it when it ends, however it ends.

    Else gloo's threads outlive it, and one that wants the interpreter while that ends aborts the process: its work is
    saved, but its exit code is wrong. A sharded network, which lies in a cycle of references and holds the connection,
    goes first.
    """
    if connected():
        gc.collect()
        dist.destroy_process_group()

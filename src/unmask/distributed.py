"""Exchange between the processes of one program: what fails in one fails in all, and one reads, writes and prints.

Under `accelerate launch` or `torchrun` every process runs the same code. An error that only one process meets (a file
that only it reads, a full disk that only the writer sees) would leave the others waiting for it forever.
`fail_together` tells all of them. With a single process every function here is the identity.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from unmask.errors import PREEMPTED, PreemptionError, UserError

T = TypeVar("T")
_CODES: dict[type[Exception], int] = {UserError: 2, OSError: 2, PreemptionError: PREEMPTED}


def connected() -> bool:
    """Whether a launcher's processes, or the only one it started, are connected."""
    return dist.is_available() and dist.is_initialized()


def world_size() -> int:
    """Number of connected processes; 1 without a launcher."""
    return dist.get_world_size() if connected() else 1


def rank() -> int:
    """Index of this process, from 0."""
    return dist.get_rank() if connected() else 0


def is_main() -> bool:
    """Whether this process reads, writes and prints for all: the first one."""
    return rank() == 0


@contextmanager
def fail_together() -> Iterator[None]:
    """Run a body that exchanges nothing with other processes; if it fails in some, it fails in all at its end.

    The first of the processes in which it failed raises its error; the others exit silently, with the same exit
    code. So people read one line, whether one process met the error or all did.
    """
    if world_size() == 1:
        yield
        return
    error: Exception | None = None
    try:
        yield
    except tuple(_CODES) as raised:
        error = raised
    codes = torch.zeros(world_size(), dtype=torch.int64)
    if error is not None:
        codes[rank()] = next(code for kind, code in _CODES.items() if isinstance(error, kind))
    failed = all_reduce_sum(codes).nonzero()
    if not len(failed):
        return
    first = int(failed[0])
    if first == rank() and error is not None:
        raise error
    raise SystemExit(int(codes[first])) from None


def on_main(action: Callable[[], T]) -> T:
    """Return in every process what `action` returns in the main one: the others may share no disk with it.

    Raises:
        UserError: what `action` raised, in the main process; the others exit silently (see `fail_together`).
    """
    result: Any = None
    with fail_together():
        if is_main():
            result = action()
    if world_size() == 1:
        return cast(T, result)
    box = [result]
    dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return cast(T, box[0])


def all_reduce_sum(values: Tensor) -> Tensor:
    """Sum a tensor without gradient over processes, in place; every process gets the same bits."""
    if world_size() > 1:
        dist.all_reduce(values)
    return values


def any_process(flag: bool) -> bool:
    """Whether the flag is up in any process."""
    return bool(all_reduce_sum(torch.tensor(int(flag)))) if world_size() > 1 else flag


def share_of(items: Tensor, index: int, processes: int) -> Tensor:
    """The share of this process: every W-th item, from its index on. Each item is in exactly one share."""
    return items[index::processes]


def all_gather_objects(value: T) -> list[T]:
    """Return the values of all processes, in order of rank, in every process. Tensors must be on the CPU."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def require_alike(what: str, value: str) -> None:
    """Raise `UserError` if processes differ in something that must agree, such as the data they read."""
    values = all_gather_objects(value)
    with fail_together():
        if len(set(values)) > 1:
            raise UserError(
                f"{what} differs between processes ({', '.join(sorted(set(values))[:3])}): give every process the same"
            )

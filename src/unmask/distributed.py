"""Exchange between the processes of one program: what fails in one fails in all, and one reads, writes and speaks.

Under `accelerate launch` or `torchrun` every process runs the same code. An error that only one process meets (a file
that only it reads, a full disk that only the writer sees) would leave the others waiting for its numbers for ever.
`fail_together` is where they tell each other. With a single process every function here is the identity.
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
    """Whether a launcher's processes, or the only one that it started, have met."""
    return dist.is_available() and dist.is_initialized()


def world_size() -> int:
    """Number of connected processes; 1 without a launcher."""
    return dist.get_world_size() if connected() else 1


def rank() -> int:
    """Index of this process, from 0 on."""
    return dist.get_rank() if connected() else 0


def is_main() -> bool:
    """Whether this process reads, writes and speaks for all: the first one."""
    return rank() == 0


@contextmanager
def fail_together() -> Iterator[None]:
    """The body exchanges nothing with other processes; where it fails in some, it fails in all at its end.

    The first of the processes in which it failed raises its error; the others leave without a word, with the same exit
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
    """What `action` returns in the main process, in every process: the others may share no disk with it.

    Raises:
        UserError: what `action` raised, in the main process; the others leave quietly (see `fail_together`).
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
    """The sum over processes of a tensor without gradient, in place, in every process the same bits."""
    if world_size() > 1:
        dist.all_reduce(values)
    return values


def any_process(flag: bool) -> bool:
    """Whether the flag is up in any process."""
    return bool(all_reduce_sum(torch.tensor(int(flag)))) if world_size() > 1 else flag


def share_of(items: Tensor, index: int, processes: int) -> Tensor:
    """The part of the items of one process: every W-th, from its index on. Each item is in exactly one part."""
    return items[index::processes]


def all_gather_objects(value: T) -> list[T]:
    """The values of all processes in the order of their ranks, in every process. Tensors must be on the CPU."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def require_alike(what: str, value: str) -> None:
    """Raise `UserError` where processes differ in something that must be one, such as the data they read."""
    values = all_gather_objects(value)
    with fail_together():
        if len(set(values)) > 1:
            raise UserError(
                f"{what} differs between processes ({', '.join(sorted(set(values))[:3])}): give every process the same"
            )

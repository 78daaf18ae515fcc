"""Batches prepared in worker processes. A failing or killed worker is reported in one line."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from unmask.errors import KILLED_WORKER, WORKER_MESSAGE, UserError
from unmask.main_guard import NO_GUARD, left_for_want_of_guard
from unmask.open_files import require_open_files

T = TypeVar("T", covariant=True)


class Prepare(Protocol[T]):
    """Indices of a batch → a dataclass of tensors (None if absent), and what could not be read."""

    def __getitem__(self, chunk: Tensor) -> tuple[T, list[str]]:
        """Called in any process."""


def prepared(prepare: Prepare[T], chunks: Sequence[Tensor], workers: int) -> Iterator[tuple[T, list[str]]]:
    """Yield `prepare[chunk]` of every chunk in turn, computed ahead of time by several processes.

    Raises:
        UserError: a worker's error; one was killed; or too few files may be open for them.
    """
    # Arrays, not tensors: a tensor goes through shared memory, which may be full.
    rows = [chunk.numpy() for chunk in chunks]
    number = min(workers, len(rows))
    require_open_files(number, "`workers=0`")
    with warnings.catch_warnings():
        # Batches do not depend on the number of workers, and whoever has fewer cores loses little.
        warnings.filterwarnings("ignore", "This DataLoader will create")
        loader = DataLoader(_Sent(prepare), batch_size=None, sampler=rows, num_workers=number, collate_fn=_as_it_is)
        ahead = iter(loader)
    try:
        for sent in ahead:
            if isinstance(sent, str):
                raise UserError(sent)
            kind, tensors, failures = sent
            yield kind(*(None if one is None else torch.as_tensor(one) for one in tensors)), failures
    except RuntimeError as error:
        if KILLED_WORKER not in str(error):
            raise
        raise UserError(NO_GUARD if left_for_want_of_guard(_processes(ahead)) else WORKER_MESSAGE) from None
    except (ConnectionError, EOFError):
        # It died between announcing a batch and handing over the batch's memory.
        raise UserError(WORKER_MESSAGE) from None
    finally:
        _end(ahead)


def _processes(ahead: Any) -> list[Any]:
    return list(getattr(ahead, "_workers", ()))


def _end(ahead: Any) -> None:
    """End all workers now, or dead ones are found at any later moment; a dead one may also be found here.

    torch has then cleaned up anyway, and the death has been reported.
    """
    try:
        ahead._shutdown_workers()
    except RuntimeError as error:
        if KILLED_WORKER not in str(error):
            raise


def _as_it_is(sent: Any) -> Any:
    """Replaces torch's conversion of arrays to tensors."""
    return sent


class _Sent(Dataset[Any]):
    """A batch as its type, its tensors and its failures; or the line of an error."""

    def __init__(self, prepare: Prepare[Any]) -> None:
        self.prepare = prepare

    def __getitem__(self, chunk: np.ndarray) -> tuple[type, list[Any], list[str]] | str:
        try:
            batch, failures = self.prepare[torch.from_numpy(chunk)]
        except UserError as error:
            return str(error)
        return type(batch), _on_their_way([getattr(batch, field.name) for field in fields(batch)]), failures


def _on_their_way(tensors: list[Tensor | None]) -> list[Any]:
    """Put a batch in shared memory; if that is full (often 64 MB in a container), keep arrays, sent through a pipe.

    A failure later, once the batch has been sent, would leave the other process waiting forever.
    """
    try:
        return [None if tensor is None else tensor.share_memory_() for tensor in tensors]
    except RuntimeError:
        return [None if tensor is None else tensor.numpy() for tensor in tensors]

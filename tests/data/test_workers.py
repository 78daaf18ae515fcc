"""Worker processes may die, and their way to hand over a batch may be closed: nobody waits for ever."""

import os
import resource
import signal
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from unmask.data.workers import _end, prepared
from unmask.errors import UserError

# torch's handler of a dead worker's signal interrupts torch's own look at files and pipes, which then are not closed.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")

CHUNKS = list(torch.arange(60).split(7))


@dataclass(frozen=True)
class Pair:
    """As a batch is."""

    values: Tensor
    ids: Tensor


@dataclass(frozen=True)
class Make:
    """What a worker does, after something happened to it."""

    happens: Callable[[Tensor], None]

    def __getitem__(self, chunk: Tensor) -> tuple[Pair, list[str]]:
        self.happens(chunk)
        return Pair(torch.outer(chunk.float(), torch.arange(2000.0)), chunk), [f"{int(chunk[0])}"]


def _nothing(chunk: Tensor) -> None:
    pass


def _no_shared_memory(chunk: Tensor) -> None:
    """A file may have 100 bytes from now on: a segment of shared memory is a file."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def _killed(chunk: Tensor) -> None:
    if 30 in chunk.tolist():
        os.kill(os.getpid(), signal.SIGKILL)


def _refused(chunk: Tensor) -> None:
    if 30 in chunk.tolist():
        raise UserError("a.tar: damaged")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("happens", [_nothing, _no_shared_memory])
def test_batches_come_in_order_whatever_way_they_take(happens: Callable[[Tensor], None]) -> None:
    """Full shared memory closes the fast way; a batch lost there would be waited for without end."""
    got = list(prepared(Make(happens), CHUNKS, 2))
    assert len(got) == len(CHUNKS)
    for chunk, (pair, failures) in zip(CHUNKS, got, strict=True):
        want = Make(_nothing)[chunk]
        assert torch.equal(pair.values, want[0].values)
        assert torch.equal(pair.ids, want[0].ids)
        assert failures == want[1]


@pytest.mark.case("a decoding process that died left the run waiting")
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("happens", "line"), [(_killed, "was killed"), (_refused, r"^a\.tar: damaged$")])
def test_what_a_worker_meets_is_one_line(happens: Callable[[Tensor], None], line: str) -> None:
    with pytest.raises(UserError, match=line) as error:
        list(prepared(Make(happens), CHUNKS, 2))
    assert "\n" not in str(error.value)


def test_a_death_that_is_found_at_the_end_has_been_said() -> None:
    """torch's handler of the signal raises wherever the main process is, in the middle of ending the workers, too."""

    class Ahead:
        message = "DataLoader worker (pid 1) is killed by signal: Killed."

        def _shutdown_workers(self) -> None:
            raise RuntimeError(self.message)

    _end(Ahead())
    other = Ahead()
    other.message = "something else"
    with pytest.raises(RuntimeError, match="something else"):
        _end(other)


def test_more_workers_than_cores_are_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default is two, also on a machine with one core."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)
    assert len(list(prepared(Make(_nothing), CHUNKS, 2))) == len(CHUNKS)

"""Jobs on threads: all are counted, and an interrupted command ends at once instead of working off its queue."""

import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from unmask.errors import UserError
from unmask.theory.jobs import JobsHere, Memo, Tally, threads
from unmask.theory.jobs_elsewhere import JobsElsewhere, LostPieceError, Piece


def test_every_job_of_several_pools_is_counted_once() -> None:
    told: list[tuple[int, int]] = []
    tally = Tally(10, lambda done, total: told.append((done, total)))
    with threads(3) as pool:
        assert list(pool.map(tally.counted(lambda x: x + 1), range(6))) == [1, 2, 3, 4, 5, 6]
    with threads(2) as pool:
        assert list(pool.map(tally.counted(abs), (-1, -2, -3, -4))) == [1, 2, 3, 4]
    assert told == [(i, 10) for i in range(11)]


def test_what_several_jobs_need_is_made_once() -> None:
    memo, made = Memo(), []

    def make(number: int) -> int:
        made.append(number)
        return 10 * number

    assert [memo.get(i % 2, lambda i=i: make(i % 2)) for i in range(8)] == [0, 10] * 4
    assert made == [0, 1]


def test_a_job_counts_as_much_as_it_takes() -> None:
    told: list[tuple[int, int]] = []
    tally = Tally(7, lambda done, total: told.append((done, total)))
    tally.counted(abs, 5)(-1)
    tally.counted(abs, 2)(-1)
    assert told == [(0, 7), (5, 7), (7, 7)]


def _double(number: int) -> int:
    if number == 0:
        raise ZeroDivisionError("of nothing")
    return 2 * number


class Workers:
    """Workers elsewhere, played by this process: they get copies, and end in another order."""

    def __init__(self, lost: str = "") -> None:
        self.rounds, self.lost = list[list[str]](), lost

    def run(self, pieces: Sequence[Piece]) -> Iterator[tuple[int, Any]]:
        self.rounds.append([arguments[0] for _, arguments in pieces])
        for index in reversed(range(len(pieces))):
            function, arguments = pickle.loads(pickle.dumps(pieces[index]))
            if arguments[0] == self.lost:
                raise UserError("failed on the workers, 3 times each")
            yield index, function(*arguments, None)


def test_jobs_elsewhere_find_what_they_find_here() -> None:
    """In order; what begins before a result is wanted is handed out with it, and all of it is counted."""
    workers, told = Workers(), list[tuple[int, int]]()
    there = JobsElsewhere(workers.run, Tally(13, lambda done, total: told.append((done, total))))
    for jobs in (JobsHere(), there):
        first, second = jobs.begin(_double, [(1,), (2,), (3,)], 4), jobs.begin(_double, [(5,)])
        assert second() == [10]
        assert first() == [2, 4, 6]
    assert workers.rounds == [["double 1", "double 2", "double 3", "double"]]
    assert told[-1] == (13, 13)


def test_what_a_job_raises_elsewhere_and_what_is_lost() -> None:
    """The one is a finding, with the error that it has here; the other is not."""
    for jobs in (JobsHere(), JobsElsewhere(Workers().run, Tally(0))):
        with pytest.raises(ZeroDivisionError, match="of nothing"):
            jobs.begin(_double, [(1,), (0,)])()
    lost = JobsElsewhere(Workers(lost="double 2").run, Tally(0)).begin(_double, [(1,), (2,)])
    with pytest.raises(LostPieceError, match="3 times each"):
        lost()
    assert not issubclass(LostPieceError, ValueError | RuntimeError)  # which checks take for a claim that fails


def test_waiting_jobs_are_dropped_when_the_body_is_left() -> None:
    begun: list[int] = []

    def job(number: int) -> None:
        begun.append(number)
        time.sleep(0.3)

    def interrupted() -> None:
        with threads(1) as pool:
            for number in range(50):
                pool.submit(job, number)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    time.sleep(1.0)
    assert len(begun) <= 3


RUN = """
import signal, sys
from unmask.cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that runs us in the background has it ignored
main(sys.argv[1:])
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["verify"], ["sweep", "--measure", "learners", "--preset", "paper"]], ids=lambda w: w[0]
)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interrupted_command_ends_at_once(
    words: list[str], number: signal.Signals, code: int, tmp_path: Path
) -> None:
    """40 seeds are many minutes of work, here or in processes; the queue must not be worked off after the signal."""
    out = ["--out", str(tmp_path / "table.csv")] if words[0] == "sweep" else []
    command = [sys.executable, "-c", RUN, "theory", *words, "--seeds", "40", *out]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.read(7).strip().startswith(words[0])
            time.sleep(5)
            process.send_signal(number)
            out, error = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == code
    assert out == ""
    assert error.rstrip().splitlines()[-1].endswith("unmask: stopped before the end; nothing was written")

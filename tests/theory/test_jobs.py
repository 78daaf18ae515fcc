"""Jobs on threads: all are counted, and an interrupted command ends at once instead of working off its queue."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unmask.theory.jobs import Memo, Tally, threads


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
    assert error.rstrip().splitlines()[-1].endswith("unmask: stopped before the end; nothing is written")

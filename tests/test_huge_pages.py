"""Worker processes ask for huge pages; this process and what a user has set stay as they are."""

import os
import subprocess
import sys

import pytest

from unmask.comparison.workers import run_tasks
from unmask.huge_pages import huge_pages


@pytest.mark.parametrize(
    ("before", "meanwhile"),
    [
        (None, "glibc.malloc.hugetlb=1"),
        ("", "glibc.malloc.hugetlb=1"),
        ("glibc.malloc.perturb=1", "glibc.malloc.perturb=1:glibc.malloc.hugetlb=1"),
        ("glibc.malloc.hugetlb=0", "glibc.malloc.hugetlb=0"),
    ],
)
def test_a_child_is_told_and_the_variable_is_given_back(
    before: str | None, meanwhile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if before is None:
        monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    else:
        monkeypatch.setenv("GLIBC_TUNABLES", before)
    script = "import os; print(os.environ['GLIBC_TUNABLES'])"
    with huge_pages():
        told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert told == meanwhile + "\n"
    assert os.environ.get("GLIBC_TUNABLES") == before
    with pytest.raises(ZeroDivisionError), huge_pages():
        _ = 1 / 0
    assert os.environ.get("GLIBC_TUNABLES") == before


def _tunables(data: None) -> str | None:
    return os.environ.get("GLIBC_TUNABLES")


def test_workers_of_a_comparison_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    found = dict(run_tasks([(_tunables, ()), (_tunables, ())], None, 2))
    assert set(found.values()) == {"glibc.malloc.hugetlb=1"}
    assert "GLIBC_TUNABLES" not in os.environ


def test_a_command_starts_again_once_as_the_same_process_with_the_same_words() -> None:
    script = (
        "import os, sys; from unmask.huge_pages import restart_with_huge_pages; "
        "print(os.getpid(), os.environ.get('GLIBC_TUNABLES'), flush=True); restart_with_huge_pages(); "
        "print(sys.argv[1:], sys.flags.dev_mode)"
    )
    command = [sys.executable, "-X", "dev", "-c", script, "a b", "--c=ü"]
    started = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    lines = subprocess.run(command, capture_output=True, text=True, check=True, env=started).stdout.splitlines()
    number = lines[0].split()[0]
    restarted = [f"{number} glibc.malloc.hugetlb=1"] if sys.platform == "linux" else []
    assert lines == [f"{number} None", *restarted, "['a b', '--c=ü'] True"]


def test_a_user_may_say_no() -> None:
    script = (
        "import os; from unmask.huge_pages import restart_with_huge_pages; restart_with_huge_pages(); print('once')"
    )
    told = {**os.environ, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=told).stdout == "once\n"

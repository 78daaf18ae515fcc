"""What every folder has: processes that meet; and `pytest --may-skip REASON`, which fails where others are skipped.

One thread a process: small networks are fastest so, and their results equal those of processes that tests start.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from forks import Forks

os.environ.setdefault("OMP_NUM_THREADS", "1")  # Before any module imports torch.


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option; without it tests may be skipped for any reason."""
    parser.addoption(
        "--may-skip", metavar="REASON", action="append", help="fail where a test is skipped for any other reason"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What forks processes is slow."""
    for item in items:
        if "forks" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")


def _unwanted(config: pytest.Config) -> list[str]:
    """Skipped tests, and modules, that had to run."""
    allowed = config.getoption("--may-skip")
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    if allowed is None or reporter is None:
        return []
    skipped = [(report.nodeid, str(report.longrepr[2])) for report in reporter.stats.get("skipped", [])]
    return [f"{name}: {reason}" for name, reason in skipped if not any(part in reason for part in allowed)]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A run without a failure fails where something was left out."""
    if session.exitstatus == pytest.ExitCode.OK and _unwanted(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """What was left out."""
    for line in _unwanted(config):
        terminalreporter.write_line(f"must not be skipped: {line}", red=True)


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Runs functions of scripts in several processes that meet."""
    running = Forks(tmp_path_factory.mktemp("forks"))
    yield running
    running.close()

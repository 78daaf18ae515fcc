"""Kills, SIGTERM, cut checkpoints, full disks and bad files in the middle of running jobs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "faults.py"


@pytest.mark.slow
@pytest.mark.case("a kill while saving left half a file")
@pytest.mark.timeout(1800)
def test_twenty_faults_are_survived() -> None:
    """A tenth of the campaign that benchmarks/results/faults.md records; what was lost is in the output."""
    result = subprocess.run(
        [sys.executable, str(SCRIPT), "--number", "20", "--seed", "7"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=1700,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "survived 20 / 20" in result.stdout
    assert len(re.findall(r"^(?:SIG|trunc|full|bad).*survived [1-9] / [1-9]", result.stdout, re.MULTILINE)) == 5

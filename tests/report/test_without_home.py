"""A page is written for users that have no home folder, or one that cannot be written."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import script_environment

SCRIPT = """
import os, pwd, sys

if sys.argv[1] == "none":
    def gone(number):
        raise KeyError(number)
    os.environ.pop("HOME", None)
    pwd.getpwuid = gone
else:
    os.environ["HOME"] = "/proc/nowhere"

from matplotlib.figure import Figure
from unmask.report.blocks import Plate
from unmask.report.html import draw_plate

figure = Figure(figsize=(2, 2))
figure.add_subplot().plot([1, 2], label="x")
print(str(draw_plate(Plate(figure, "a line", ""), "p").text)[:4])
"""


@pytest.mark.case("report ended in a template error for a user without HOME")
@pytest.mark.parametrize("home", ["none", "read-only"])
def test_figures_need_no_home(home: str, tmp_path: Path) -> None:
    """matplotlib keeps its cache elsewhere."""
    environment = {k: v for k, v in script_environment().items() if k not in ("MPLCONFIGDIR", "XDG_CONFIG_HOME")}
    command = [sys.executable, "-c", SCRIPT, home]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "<svg"
    assert list(tmp_path.iterdir()) == []

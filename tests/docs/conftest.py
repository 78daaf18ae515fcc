"""A newcomer's folder in which the README has been followed."""

from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from blocks import ROOT, blocks, execute, own_folder


@pytest.fixture(scope="session")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every block of the README has been run, in order."""
    root = own_folder(tmp_path_factory.mktemp("newcomer"))
    names: dict[str, Any] = {"__name__": "readme"}
    with chdir(root):
        for block in blocks(ROOT / "README.md"):
            if block.why_not is None:
                execute(block, names)
    (root / "runs/finetuned").symlink_to(root / "runs/tuned")
    return root

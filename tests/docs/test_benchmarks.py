"""The scripts beside the package, which no test runs whole, follow the package when names move."""

import ast
import importlib
from pathlib import Path

import pytest
from blocks import ROOT

SCRIPTS = sorted([*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "examples").rglob("*.py")])


def _missing(script: Path) -> list[str]:
    """Names that the script imports from unmask, wherever in it, and that are not there."""
    missing = []
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "unmask":
            assert node.module is not None
            module = importlib.import_module(node.module)
            names = [one.name for one in node.names if not hasattr(module, one.name)]
            missing += [f"{node.module}.{name}" for name in names]
    return missing


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_what_a_script_imports_is_there(script: Path) -> None:
    assert _missing(script) == []


def test_a_name_that_moved_is_noticed(tmp_path: Path) -> None:
    script = tmp_path / "old.py"
    script.write_text("def late() -> None:\n    from unmask.errors import UserError, gone\n", encoding="utf-8")
    assert _missing(script) == ["unmask.errors.gone"]

"""Scripts that tests run in processes of their own, or load as modules of this one."""

import importlib.util
import os
from pathlib import Path
from types import ModuleType
from typing import Any

TESTS = Path(__file__).parent


def load_script(path: Path) -> ModuleType:
    """A script, or a benchmark, as a module of this process."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def script_environment(**changes: Any) -> dict[str, str]:
    """This process's environment for a script: one thread, and the modules of tests/ can be imported."""
    path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path} | {k: str(v) for k, v in changes.items()}

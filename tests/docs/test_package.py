"""What is shipped: wheel and sdist hold what they must, an installed wheel works, and every dependency is declared."""

import ast
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from blocks import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IMPORTED_AS = {
    "pillow": "PIL",
    "scikit-learn": "sklearn",
    "huggingface-hub": "huggingface_hub",
    "segmentation-models-pytorch": "segmentation_models_pytorch",
    "dask-jobqueue": "dask_jobqueue",
}
OPTIONAL = {"onnx", "onnxruntime", "segmentation_models_pytorch", "distributed", "dask_jobqueue"}


def _run(*words: str | Path, cwd: Path, timeout: int = 300) -> str:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


def _package_files() -> set[str]:
    root = ROOT / "src"
    return {
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    """Every file below src, templates and py.typed among them; no test, no document."""
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        metadata = next(name for name in wheel.namelist() if name.endswith("METADATA"))
        text = wheel.read(metadata).decode()
    assert names == _package_files()
    assert {"unmask/py.typed", "unmask/report/templates/style.css", "unmask/report/templates/page.html.j2"} <= names
    assert f"Name: {PROJECT['name']}\n" in text
    assert f"Version: {PROJECT['version']}\n" in text


@pytest.mark.slow
def test_the_sdist_can_build_test_and_document(built: Path) -> None:
    """Sources, tests, documentation, license."""
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        names = {name.split("/", 1)[1] for name in sdist.getnames() if "/" in name}
    wanted = {"pyproject.toml", "LICENSE", "README.md", "CITATION.cff", "Makefile", "mkdocs.yml", "docs/index.md"}
    assert wanted | {"tests/docs/test_package.py", "examples/audit.py", "docs/tools/hooks.py"} <= names
    assert not [name for name in names if name.startswith((".venv", "runs", "site/"))]


@pytest.mark.slow
def test_an_installed_wheel_works(built: Path, tmp_path: Path) -> None:
    """Not editable, in a new environment that sees the other packages only, from another folder."""
    venv, work = tmp_path / "venv", tmp_path / "work"
    work.mkdir()
    _run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=work)
    pip = [sys.executable, "-m", "pip", "--python", venv / "bin/python", "--disable-pip-version-check"]
    _run(*pip, "install", "--quiet", "--no-deps", "--no-index", next(built.glob("*.whl")), cwd=work)
    packages = next((venv / "lib").glob("python*/site-packages"))
    # Its own packages come first; the .pth files of the other folder, an editable unmask among them, are not read.
    (packages / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    unmask = venv / "bin/unmask"
    assert "usage: unmask COMMAND" in _run(unmask, "--help", cwd=work)
    where = _run(venv / "bin/python", "-c", "import unmask; print(unmask.__file__)", cwd=work)
    assert Path(where.strip()).is_relative_to(venv)
    tiny = ["--data", "digits", "--steps", "2", "--batch-size", "16", "--quiet"]
    run = _run(unmask, "pretrain", *tiny, "--out", "run", cwd=work).strip()
    page = _run(unmask, "report", run, cwd=work).strip()
    assert "<style>" in (work / page).read_text(encoding="utf-8")


def _declared(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=!~;\[ ]", requirement)[0] for requirement in requirements}


def test_every_import_is_declared_and_every_dependency_imported() -> None:
    """Nothing is got by luck through another package, nothing is installed for nothing; extras may be imported late."""
    found = set()
    for path in (ROOT / "src/unmask").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.split(".")[0])
    found -= set(sys.stdlib_module_names) | {"unmask"}
    assert found - OPTIONAL == {IMPORTED_AS.get(name, name) for name in _declared(PROJECT["dependencies"])}
    extras = {name for needs in PROJECT["optional-dependencies"].values() for name in _declared(needs)}
    assert {IMPORTED_AS.get(name, name) for name in extras} >= OPTIONAL


def test_every_dependency_has_a_lower_bound_and_a_reason() -> None:
    """No upper bounds, which would fight with other packages; docs/dependencies.md says why each is here."""
    page = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
    extras = [need for needs in PROJECT["optional-dependencies"].values() for need in needs]
    for requirement in [*PROJECT["dependencies"], *extras]:
        assert re.fullmatch(r"[a-zA-Z0-9-]+(\[[a-z]+\])?>=[0-9.]+", requirement), requirement
        name = re.split(r"\[|>=", requirement)[0]
        assert re.search(rf"\b{name}\b", page), f"docs/dependencies.md does not mention {name}"

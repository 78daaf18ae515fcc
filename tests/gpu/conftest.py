"""These tests need a CUDA device. UNMASK_GPU_TESTS_ON_CPU=1 runs their bodies on the CPU, to see that they run."""

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from scripts import load_script, script_environment
from unmask.data.load import Dataset

SCRIPT = Path(__file__).with_name("trainings.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip this folder's tests where there is no GPU."""
    if torch.cuda.is_available() or "UNMASK_GPU_TESTS_ON_CPU" in os.environ:
        return
    for item in items:
        if item.path.parent == SCRIPT.parent:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def device() -> torch.device:
    """The GPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(scope="session", autouse=True)
def _whole_float32() -> Iterator[None]:
    """TF32 off in convolutions (in matrix products it is off by default): float32 is then the CPU's up to rounding."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer torch names the switch otherwise
        before = torch.backends.cudnn.allow_tf32
        torch.backends.cudnn.allow_tf32 = False
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.backends.cudnn.allow_tf32 = before


@pytest.fixture(scope="session")
def trainings() -> ModuleType:
    """trainings.py."""
    return load_script(SCRIPT)


@pytest.fixture(scope="session")
def data(trainings: ModuleType) -> Dataset:
    """64 training images of 3 classes, 32 px."""
    dataset: Dataset = trainings.read_data()
    return dataset


@pytest.fixture(scope="session")
def folders(trainings: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Every training on the GPU by this process and, meanwhile, on the CPU by one that sees no GPU."""
    gpu, cpu = tmp_path_factory.mktemp("gpu"), tmp_path_factory.mktemp("cpu")
    place = script_environment(CUDA_VISIBLE_DEVICES="")
    worker = subprocess.Popen([sys.executable, str(SCRIPT), str(cpu)], env=place)
    try:
        trainings.run_all(gpu)
        assert worker.wait(timeout=300) == 0
    finally:
        worker.kill()
    return gpu, cpu

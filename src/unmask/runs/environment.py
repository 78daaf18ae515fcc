"""The environment of a run: versions, hardware and git state."""

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from unmask.runs.read import read_environment
from unmask.runs.records import Environment, GitState

_DECODERS = ("pillow", "tifffile", "imagecodecs", "simplejpeg")
_PACKAGES = (
    "unmask",
    "torch",
    "torchvision",
    "timm",
    "accelerate",
    "numpy",
    "scipy",
    "scikit-learn",
    "safetensors",
    *_DECODERS,
)


def describe_environment(**facts: Any) -> Environment:
    """Versions, hardware and git state of this process, with further fields of `Environment` that the stage knows."""
    import torch

    return Environment(
        python=sys.version.split()[0],
        platform=platform.platform(),
        processor=processor_name(),
        cores=os.cpu_count(),
        threads=torch.get_num_threads(),
        devices=tuple(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())),
        packages=package_versions(),
        git=_git_state(),
        **facts,
    )


CONTINUED = "Continued with other versions: "


def changed_versions(folder: Path) -> list[str]:
    """Notes for a continued run: packages that differ from those it started with, and earlier such notes."""
    before = read_environment(folder)
    if before is None:
        return []
    now = package_versions()
    changed = [
        f"{name} {before.packages[name]} → {now[name]}"
        for name in _PACKAGES
        if name in before.packages and before.packages[name] != now[name]
    ]
    earlier = [note for note in before.notes if note.startswith(CONTINUED)]
    return earlier + ([f"{CONTINUED}{', '.join(changed)}; numbers may differ in their last bits"] if changed else [])


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def package_versions() -> dict[str, str | None]:
    """Versions of the packages on which numbers depend; None if one is not installed."""
    return {name: _version(name) for name in _PACKAGES}


def processor_name() -> str:
    """The type of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _git_state() -> GitState | None:
    """Commit and cleanliness of the checkout that holds this package; None for an installed one."""
    here, this = str(Path(__file__).resolve().parent), Path(__file__).name

    def ask(*words: str) -> str:
        command = ["git", "-C", here, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        ask("ls-files", "--error-unmatch", this)  # an environment inside somebody's checkout is not of this package
        return GitState(commit=ask("rev-parse", "HEAD"), clean=not ask("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None

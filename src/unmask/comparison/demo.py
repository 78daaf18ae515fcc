"""The whole job on the built-in images with known parts, small enough for two cores and a few minutes."""

from pathlib import Path

from unmask.comparison.run import compare
from unmask.config import CompareConfig
from unmask.recipes import multiview


def demo_config() -> CompareConfig:
    """`multiview` with one budget and three label draws, all arms and controls."""
    return multiview().compare_config(budgets=(30,), draws=3, compute_cap=5.0)


def demo(out: Path, *, progress: bool = True) -> Path:
    """Run the demonstration, or continue it, and return its run folder."""
    return compare(demo_config(), out, resume=out.exists(), progress=progress)

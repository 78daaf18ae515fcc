"""The whole workflow on the built-in images with known parts, small enough for two cores and a few minutes."""

from pathlib import Path

from unmask.comparison.run import compare
from unmask.config import ARMS, CompareConfig
from unmask.recipes import multiview


def demo_config() -> CompareConfig:
    """`multiview` with one budget, three label draws, one tuning draw, one pretraining, all arms and controls."""
    arms = tuple(arm.name for arm in ARMS.values() if arm.default)
    return multiview().compare_config(
        budgets=(30,), draws=3, tuning_draws=1, pretrainings=1, arms=arms, compute_cap=5.0
    )


def demo(out: Path, *, progress: bool = True) -> Path:
    """Run the demonstration, or continue it, and return its run folder."""
    return compare(demo_config(), out, resume=out.exists(), progress=progress)

"""The whole job on the built-in images with known parts, small enough for two cores and a few minutes."""

from pathlib import Path

from unmask.comparison.run import compare
from unmask.config import CompareConfig
from unmask.recipes import multiview


def demo_config() -> CompareConfig:
    """`multiview` with a fainter second part, one budget, three label draws, all arms and controls."""
    recipe = multiview()
    return CompareConfig(
        data=recipe.data,
        encoder=recipe.encoder,
        pretrain=recipe.pretrain,
        finetune=recipe.finetune,
        scratch_candidates=recipe.scratch_candidates,
        budgets=(30,),
        seeds=3,
        compute_cap=5.0,
    )


def demo(out: Path, *, progress: bool = True) -> Path:
    """Run the demonstration, or continue it, and return its run folder."""
    return compare(demo_config(), out, resume=out.exists(), progress=progress)

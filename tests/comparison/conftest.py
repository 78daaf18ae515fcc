"""A comparison of a few seconds, for all tests of this folder that have no other."""

from dataclasses import replace

import pytest

import tiny
from unmask.config import ARMS, ClassifyRecipe, CompareConfig, OptimizerConfig

RECIPE = ClassifyRecipe(optimizer=OptimizerConfig(steps=6, batch_size=8, lr=3e-3), head_steps=2)


@pytest.fixture
def config() -> CompareConfig:
    """Two budgets, two draws, one of tuning, every arm that needs no given weights."""
    return tiny.comparison(
        finetune=RECIPE,
        scratch_candidates=(replace(RECIPE, head_steps=0), replace(RECIPE, head_steps=0, label_smoothing=0.0)),
        budgets=(3, 5),
        arms=tuple(arm.name for arm in ARMS.values() if arm.default),
        jobs=1,
    )

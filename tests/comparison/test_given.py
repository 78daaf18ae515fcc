"""A torch Dataset handed over in Python is compared like any other data, in one process or several."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

import tiny
from unmask.comparison.run import compare
from unmask.config import ClassifyRecipe, CompareConfig, DataConfig, MaskConfig, OptimizerConfig
from unmask.errors import UserError
from unmask.runs.files import read_json


class Stripes(Dataset[tuple[torch.Tensor, int]]):
    """Gray 16 x 16 images of upright and lying stripes under noise."""

    def __init__(self, count: int, seed: int) -> None:
        values = np.random.default_rng(seed).integers(0, 120, (count, 16, 16), dtype=np.uint8)
        stripes = np.where(np.arange(16) % 4 < 2, 120, 0).astype(np.uint8)
        values[::2] += stripes
        values[1::2] += stripes[:, None]
        self.values = torch.from_numpy(values)[:, None]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.values[index], index % 2


@pytest.mark.slow
def test_jobs_and_resume_give_the_same_trials(tmp_path: Path) -> None:
    given = {"train": Stripes(40, 0), "val": Stripes(20, 1), "test": Stripes(20, 2)}
    recipe = ClassifyRecipe(optimizer=OptimizerConfig(steps=6, batch_size=8, lr=3e-3), head_steps=2)
    config = CompareConfig(
        data=DataConfig(),
        encoder=tiny.OVERLAPPING_PATCHNET,
        pretrain=tiny.pretrain_recipe(mask=MaskConfig(cell=4), epochs=1, batch_size=16),
        finetune=recipe,
        arms=("mrp", "scratch_same"),
        budgets=(4,),
        draws=1,
        tuning_draws=1,
        jobs=1,
    )
    one = compare(config, tmp_path / "one", progress=False, dataset=given)
    two = compare(replace(config, jobs=2), tmp_path / "two", progress=False, dataset=given)
    trials = sorted(path.name for path in (one / "trials").glob("*.json"))
    assert len(trials) == 2
    metrics = [[read_json(run / "trials" / name)["metrics"] for name in trials] for run in (one, two)]
    assert metrics[0] == metrics[1]
    (one / "trials" / trials[0]).unlink()
    compare(config, one, progress=False, dataset=given, resume=True)
    assert read_json(one / "trials" / trials[0])["metrics"] == metrics[0][0]
    with pytest.raises(UserError, match="fingerprint"):
        compare(config, one, progress=False, dataset=given | {"train": Stripes(40, 7)}, resume=True)

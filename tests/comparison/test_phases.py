"""What is told of the workers of a comparison, whenever they join."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import tiny
from unmask.comparison.run import compare
from unmask.comparison.workers import LocalProcesses
from unmask.config import ClassifyRecipe, OptimizerConfig
from unmask.runs.files import read_json


@dataclass(frozen=True)
class Joining(LocalProcesses):
    """A place that another worker joins while trials are trained."""

    out: Path = Path()

    def notes(self) -> list[str]:
        """Of that worker."""
        return ["two types of processors"] * any(self.out.glob("trials/*.json"))


def test_a_worker_that_joins_late_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the environment record and in the summary."""

    @contextmanager
    def open_place(*_: Any) -> Iterator[Joining]:
        yield Joining(1, out=tmp_path / "run")

    monkeypatch.setattr("unmask.comparison.run.open_place", open_place)
    recipe = ClassifyRecipe(optimizer=OptimizerConfig(steps=2, batch_size=8, lr=3e-3), head_steps=0)
    config = tiny.comparison(finetune=recipe, arms=("scratch_same",), draws=1, given=None, keep="none")
    out = compare(replace(config, jobs=1), tmp_path / "run", progress=False)
    for file in ("environment.json", "summary.json"):
        assert "two types of processors" in read_json(out / file)["notes"]

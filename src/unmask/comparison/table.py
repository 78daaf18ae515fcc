"""The table of finished cells as rows, and the summary drawn from it."""

from pathlib import Path
from typing import Any

import torch

from unmask.comparison.cells import HEADLINE
from unmask.comparison.plan import CellKey, all_cells
from unmask.config import CompareConfig
from unmask.data.load import Dataset
from unmask.evaluate.summary import summarise
from unmask.runs import read_json
from unmask.training.checkpoint import load_tensors


def build_summary(config: CompareConfig, out: Path, data: Dataset, notes: list[str]) -> dict[str, Any]:
    """summary.json: cells, differences and verdicts, from the files of finished cells."""
    keys = all_cells(config)
    rows = [row for key in keys for row in cell_rows(read_json(out / "cells" / f"{key.name}.json"))]
    rows += ensemble_rows(keys, out / "cells", data)
    return summarise(
        rows,
        budgets=list(config.budgets),
        primary_budget=config.budgets[0],
        arms=list(config.arms),
        smallest_effect=config.smallest_effect,
        confidence=config.confidence,
        notes=notes,
    )


def cell_rows(cell: dict[str, Any]) -> list[dict[str, Any]]:
    """One row for each split and headline metric of a finished cell."""
    common = {name: cell[name] for name in ("arm", "budget", "seed", "pretrain_seed")}
    return [
        common | {"split": split, "metric": metric, "value": values[metric], "seconds": cell["seconds"]}
        for split, values in cell["metrics"].items()
        for metric in HEADLINE
        if values.get(metric) is not None
    ]


def ensemble_rows(keys: list[CellKey], folder: Path, data: Dataset) -> list[dict[str, Any]]:
    """Accuracy of the averaged probabilities of all cells of an (arm, budget), for the ensemble gap.

    The cells differ in label draw and training seed. Only arms with at least two cells have one.
    """
    groups: dict[tuple[str, int], list[CellKey]] = {}
    for key in keys:
        groups.setdefault((key.arm, key.budget), []).append(key)
    rows = []
    for (arm, budget), members in groups.items():
        if len(members) < 2:
            continue
        logits = [load_tensors(folder / f"{key.name}.safetensors")[0] for key in members]
        for split, images in data.tests.items():
            mean = torch.stack([scores[split].float().softmax(1) for scores in logits]).mean(0)
            accuracy = float((mean.argmax(1) == images.labels).float().mean())
            common = {"arm": arm, "budget": budget, "seed": None, "pretrain_seed": None, "seconds": 0.0}
            rows.append(common | {"split": split, "metric": "ensemble_accuracy", "value": accuracy})
    return rows

"""The table of finished cells as rows, and the summary drawn from it."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unmask.comparison.plan import CellKey, all_cells
from unmask.config import CompareConfig
from unmask.data.load import Dataset
from unmask.evaluate.summary import summarise
from unmask.evaluate.table import METRICS
from unmask.runs.files import read_json
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
    """One row for each split and score of a finished cell."""
    common = {name: cell[name] for name in ("arm", "budget", "seed", "pretrain_seed")}
    return [
        common | {"split": split, "metric": metric, "value": values[metric], "seconds": cell["seconds"]}
        for split, values in cell["metrics"].items()
        for metric in METRICS
        if values.get(metric) is not None
    ]


def ensemble_rows(keys: list[CellKey], folder: Path, data: Dataset) -> list[dict[str, Any]]:
    """Accuracy of the averaged probabilities of the label draws of an (arm, budget), for the ensemble gap.

    An arm with several pretrainings has an ensemble for each, and the mean of their accuracies counts: all arms average
    equally many members. Only comparisons with at least two draws have ensembles.
    """
    groups: dict[tuple[str, int], dict[int | None, list[CellKey]]] = {}
    for key in keys:
        groups.setdefault((key.arm, key.budget), {}).setdefault(key.pretrain_seed, []).append(key)
    rows = []
    for (arm, budget), ensembles in groups.items():
        if min(map(len, ensembles.values())) < 2:
            continue
        for split, images in data.tests.items():
            accuracies = [_ensemble_accuracy(members, folder, split, images.labels) for members in ensembles.values()]
            common = {"arm": arm, "budget": budget, "seed": None, "pretrain_seed": None, "seconds": 0.0}
            value = sum(accuracies) / len(accuracies)
            rows.append(common | {"split": split, "metric": "ensemble_accuracy", "value": value})
    return rows


def _ensemble_accuracy(members: list[CellKey], folder: Path, split: str, labels: Tensor) -> float:
    scores = [load_tensors(folder / f"{key.name}.safetensors")[0][split] for key in members]
    mean = torch.stack([one.float().softmax(1) for one in scores]).mean(0)
    readable = ~mean.isnan().any(1)  # as by every member
    return float((mean.argmax(1) == labels)[readable].float().mean())

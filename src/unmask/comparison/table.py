"""The scores of the finished trials, and the summary drawn from them."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unmask.comparison.plan import TrialKey, all_trials
from unmask.config import CompareConfig
from unmask.data.load import Dataset
from unmask.inference.summary import summarise
from unmask.inference.table import METRICS
from unmask.runs.files import read_json
from unmask.runs.layout import LOGITS, TRIALS
from unmask.training.checkpoint import load_tensors


def build_summary(config: CompareConfig, out: Path, data: Dataset, notes: list[str]) -> dict[str, Any]:
    """summary.json: scores, differences and verdicts, from the files of the finished trials."""
    keys = all_trials(config)
    scores = [row for key in keys for row in scores_of(read_json(TRIALS.path(out, key.name)))]
    scores += ensemble_scores(keys, out, data)
    return summarise(
        scores,
        budgets=list(config.budgets),
        primary_budget=config.budgets[0],
        arms=list(config.arms),
        smallest_effect=config.smallest_effect,
        confidence=config.confidence,
        notes=notes,
    )


def scores_of(trial: dict[str, Any]) -> list[dict[str, Any]]:
    """One row for each split and metric of a finished trial."""
    common = {name: trial[name] for name in ("arm", "budget", "draw", "pretraining")}
    return [
        common | {"split": split, "metric": metric, "value": values[metric], "seconds": trial["seconds"]}
        for split, values in trial["metrics"].items()
        for metric in METRICS
        if values.get(metric) is not None
    ]


def ensemble_scores(keys: list[TrialKey], out: Path, data: Dataset) -> list[dict[str, Any]]:
    """Accuracy of the averaged probabilities of the label draws of an (arm, budget), for the ensemble gap.

    An arm with several pretrainings has an ensemble for each, and the mean of their accuracies counts: all arms average
    equally many members. Only comparisons with at least two draws have ensembles.
    """
    groups: dict[tuple[str, int], dict[int | None, list[TrialKey]]] = {}
    for key in keys:
        groups.setdefault((key.arm, key.budget), {}).setdefault(key.pretraining, []).append(key)
    rows = []
    for (arm, budget), ensembles in groups.items():
        if min(map(len, ensembles.values())) < 2:
            continue
        for split, images in data.tests.items():
            accuracies = [_ensemble_accuracy(members, out, split, images.labels) for members in ensembles.values()]
            common = {"arm": arm, "budget": budget, "draw": None, "pretraining": None, "seconds": 0.0}
            value = sum(accuracies) / len(accuracies)
            rows.append(common | {"split": split, "metric": "ensemble_accuracy", "value": value})
    return rows


def _ensemble_accuracy(members: list[TrialKey], out: Path, split: str, labels: Tensor) -> float:
    scores = [load_tensors(LOGITS.path(out, key.name))[0][split] for key in members]
    mean = torch.stack([one.float().softmax(1) for one in scores]).mean(0)
    readable = ~mean.isnan().any(1)  # as by every member
    return float((mean.argmax(1) == labels)[readable].float().mean())

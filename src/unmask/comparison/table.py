"""The scores of the finished trials, and the summary drawn from them."""

from pathlib import Path

import torch
from torch import Tensor

from unmask.comparison.plan import TrialKey, all_trials
from unmask.config import CompareConfig
from unmask.data.load import Dataset
from unmask.inference.rows import Ensembles
from unmask.inference.summary import summarize
from unmask.inference.table import scores_of
from unmask.runs.comparison_records import Summary, TrialResult
from unmask.runs.layout import LOGITS, TRIALS
from unmask.runs.read import read_record
from unmask.training.checkpoint import load_tensors


def build_summary(config: CompareConfig, out: Path, data: Dataset, notes: list[str]) -> Summary:
    """Scores, differences and verdicts, from the files of the finished trials."""
    keys = all_trials(config)
    trials = [read_record(TrialResult, TRIALS.path(out, key.name)) for key in keys]
    scores = [score for trial in trials for score in scores_of(trial)]
    return summarize(config, scores, ensembles=ensemble_accuracies(keys, out, data), notes=notes)


def ensemble_accuracies(keys: list[TrialKey], out: Path, data: Dataset) -> Ensembles:
    """Accuracy of the averaged probabilities of the label draws of an (arm, budget), for the ensemble gap.

    Where every draw has several trainings of an arm, each of them has an ensemble, and the mean of their accuracies
    counts: all arms average equally many members. Only comparisons with at least two draws have ensembles.
    """
    groups: dict[tuple[str, int], dict[int, list[TrialKey]]] = {}
    for key in keys:
        groups.setdefault((key.arm, key.budget), {}).setdefault(key.repeat, []).append(key)
    found = {}
    for (arm, budget), ensembles in groups.items():
        if min(map(len, ensembles.values())) < 2:
            continue
        for split, images in data.tests.items():
            accuracies = [_ensemble_accuracy(members, out, split, images.labels) for members in ensembles.values()]
            found[arm, budget, split] = sum(accuracies) / len(accuracies)
    return found


def _ensemble_accuracy(members: list[TrialKey], out: Path, split: str, labels: Tensor) -> float:
    scores = [load_tensors(LOGITS.path(out, key.name))[0][split] for key in members]
    mean = torch.stack([one.float().softmax(1) for one in scores]).mean(0)
    readable = ~mean.isnan().any(1)  # as by every member
    return float((mean.argmax(1) == labels)[readable].float().mean())

"""The scores of the finished trials, and their summary."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unmask.comparison.answer import with_answer
from unmask.comparison.notes import count_groups, draw_overlaps
from unmask.comparison.plan import TrialKey, all_trials
from unmask.comparison.tuning import Choice
from unmask.config import CompareConfig
from unmask.config.budget import Budget
from unmask.config.metric import Metric
from unmask.data.load import Dataset
from unmask.inference.answers import contest_of
from unmask.inference.evidence import Evidence
from unmask.inference.hierarchy import Key, PerImage
from unmask.inference.image_groups import per_group
from unmask.inference.rows import Ensembles
from unmask.inference.summary import summarize, with_class_shares
from unmask.inference.table import labels_of, scored_splits, scores_of, table_of
from unmask.inference.verdict import Contest
from unmask.runs.layout import JUDGED, OUTPUTS, TRIALS
from unmask.runs.summary_records import Summary
from unmask.runs.trial_records import TrialResult
from unmask.runs.trials import read_trial
from unmask.tasks.kinds import AnyTask
from unmask.training.checkpoint import load_tensors

CLAIMS = ("gain", "equivalent")
"""What must hold against rivals, too."""


def build_summary(
    config: CompareConfig, out: Path, data: Dataset, choice: Choice, *, notes: list[str], jobs: int
) -> Summary:
    """Scores, differences, verdicts and the headline, from the files of the finished trials; `config` has the arms and
    draws that are reported."""
    keys, trials = all_trials(config), _trials(config, out)
    scores = [score for trial in trials for score in scores_of(trial)]
    ensembles = ensemble_scores(keys, out, data)
    assert data.task is not None
    metric = data.task.metric
    evidence = _evidence(config, out, data, choice, trials)
    summary = summarize(config, scores, ensembles=ensembles, notes=notes, evidence=evidence, ensemble_metric=metric)
    return with_answer(with_class_shares(summary, trials), data, jobs, config.evaluate_on)


def claims(config: CompareConfig, out: Path, data: Dataset, choice: Choice, level: float) -> bool:
    """Whether the finished trials give a gain, or equivalence, at this two-sided level: in a verdict, or for what is
    recommended at some budget."""
    summary = build_summary(replace(config, confidence=1 - level), out, data, choice, notes=[], jobs=1)
    words = [*(one.verdict for one in summary.verdicts), *(one.verdict for one in summary.recommendations)]
    return any(word in CLAIMS for word in words)


def read_contest(config: CompareConfig, out: Path, data: Dataset, choice: Choice) -> Contest | None:
    """The question of a comparison at its primary budget, from the finished trials; None if there is no choice."""
    trials = _trials(config, out)
    table = table_of(score for trial in trials for score in scores_of(trial))
    where = (config.budgets[0], scored_splits(table)[0], config.metric)
    return contest_of(table, where, _evidence(config, out, data, choice, trials))


def _trials(config: CompareConfig, out: Path) -> list[TrialResult]:
    return [read_trial(TRIALS.path(out, key.name)) for key in all_trials(config)]


def _evidence(
    config: CompareConfig, out: Path, data: Dataset, choice: Choice, trials: Sequence[TrialResult]
) -> Evidence:
    return Evidence(
        images=values_per_image(all_trials(config), out, data, config.metric),
        grouped=any(count_groups(data, images) < len(images) for images in data.tests.values()),
        metric=config.metric,
        tuning=choice.correct,
        overlap=draw_overlaps(config, data, out),
        labeled=labels_of(trials),
    )


def values_per_image(
    keys: list[TrialKey], out: Path, data: Dataset, metric: Metric = "accuracy"
) -> dict[tuple[str, Budget, str], PerImage]:
    """By (arm, budget, split) and (pretraining, draw): values per test image, or per group of them if the data have
    groups; the mean over repetitions."""
    assert data.task is not None
    task = data.task
    groups = {split: data.groups_of(images) for split, images in data.tests.items()}
    repeated: dict[tuple[str, Budget, str], dict[Key, list[NDArray[np.float64]]]] = {}
    for key in keys:
        found = load_tensors(OUTPUTS.path(out, key.name))[0]
        for split, images in data.tests.items():
            own = repeated.setdefault((key.arm, key.budget, split), {})
            values = task.contributions(found[f"{split}{JUDGED}"].numpy(), images.labels.numpy(), metric)
            own.setdefault((key.pretraining, key.draw), []).append(per_group(values, groups[split]))
    return {place: {key: np.mean(rows, axis=0) for key, rows in own.items()} for place, own in repeated.items()}


def ensemble_scores(keys: list[TrialKey], out: Path, data: Dataset) -> Ensembles:
    """The task's first score of the averaged predictions of the label draws of an (arm, budget), for the ensemble gap.

    If every draw has several trainings of an arm, each of them forms an ensemble, and the mean of their scores
    counts: all arms average the same number of members. Only comparisons with at least two draws have ensembles.
    """
    assert data.task is not None
    task = data.task
    if not task.averages:
        return {}
    groups: dict[tuple[str, Budget], dict[int, list[TrialKey]]] = {}
    for key in keys:
        groups.setdefault((key.arm, key.budget), {}).setdefault(key.repeat, []).append(key)
    found = {}
    for (arm, budget), ensembles in groups.items():
        if min(map(len, ensembles.values())) < 2:
            continue
        for split, images in data.tests.items():
            means = (mean_predictions(members, out, task, split) for members in ensembles.values())
            scores = [one for mean in means if (one := task.score_of(mean, images.labels)) is not None]
            if scores:
                found[arm, budget, split] = sum(scores) / len(scores)
    return found


def mean_predictions(members: list[TrialKey], out: Path, task: AnyTask, split: str) -> Tensor:
    """The mean over trials of their predictions for the images of a test set, [N, ...]; NaN where unreadable."""
    kept = [load_tensors(OUTPUTS.path(out, key.name))[0][split] for key in members]
    return torch.stack([task.predictions(one) for one in kept]).mean(0)

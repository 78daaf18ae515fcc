"""The headline of a comparison: what a user should do, and what to do next, without names of arms."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from unmask.config import ARMS
from unmask.config.budget import Budget, labeled_count, labels_in_words
from unmask.config.comparison import EvaluateOn
from unmask.config.metric import METRIC_NAMES, SCORES, Metric, label_form
from unmask.data.load import Dataset
from unmask.inference.verdict import count_evaluated
from unmask.runs.summary_records import Answer, Recommendation, Summary
from unmask.wording import in_words, plural

MANY = 5
"""More than this many times the draws that there are is no advice to continue."""


def with_answer(summary: Summary, data: Dataset, jobs: int, evaluate_on: EvaluateOn = "test") -> Summary:
    """The summary with its headline, if there was a choice; `evaluate_on` is that of the comparison."""
    settings = summary.settings
    found = [one for one in summary.recommendations if one.budget == settings.primary_budget]
    if not found or found[0].split not in data.tests:
        return summary
    first = found[0]
    best = first.against if first.verdict == "loss" else first.arm
    score, metric = _score(summary, best, first.budget), settings.metric
    assert score is not None
    count = len(data.tests[first.split])
    chance, majority, beside = _beside(data, first.split, metric)
    images, name = count_evaluated(count, "test", evaluate_on), METRIC_NAMES[metric]
    labeled = {budget: labeled_count(budget, data.class_sizes) for budget in settings.budgets}
    steps, draws, seconds = _next_steps(summary, first, jobs)
    steps += _more_labels(summary, first, best, labeled)
    answer = Answer(
        sentence=first.sentence,
        score=score,
        chance=chance,
        majority=majority,
        test_images=count,
        context=(
            f"It is right on {score:.1%} of {images}{beside}."
            if metric == "accuracy"
            else f"Its {name} on {images} is {SCORES[metric].text(score)}{beside}."
        ),
        next_step=" ".join(steps),
        draws=draws,
        seconds=seconds,
    )
    return replace(summary, answer=answer)


def _beside(data: Dataset, split: str, metric: Metric) -> tuple[float | None, float | None, str]:
    """What a guess scores, and always the most frequent class, and both in words; nothing without classes of images."""
    if not data.classes:
        return None, None, _of_numbers(data, split, metric)
    chance, majority = without_skill(data.tests[split].labels, len(data.classes), metric)
    if metric == "accuracy":
        return (
            chance,
            majority,
            f"; guessing would be right on {chance:.1%}, always naming the most frequent class on {majority:.1%}",
        )
    return (
        chance,
        majority,
        f"; guessing scores {chance:.1%}, always naming the most frequent class {majority:.1%}",
    )


def _of_numbers(data: Dataset, split: str, metric: Metric) -> str:
    """The score of always predicting the mean, if labels are numbers; nothing for other tasks."""
    facts = SCORES[metric]
    if data.task is None or label_form(data.task.name) != "numbers" or not facts.lower_is_better or data.train is None:
        return ""
    labels = data.tests[split].labels
    constant = data.train.labels.nanmean(dim=0).expand_as(labels)
    known = getattr(data.task.scores(constant, labels), metric)
    return f" (lower is better); always predicting the mean scores {facts.text(known)}"


def without_skill(labels: Tensor, classes: int, metric: Metric) -> tuple[float, float]:
    """The expected score of guessing, and that of always naming the most frequent class.

    Args:
        labels: classes 0 to classes - 1 of the test images, (N,).
        classes: number of classes to guess from; balanced accuracy and macro-F1 count those that have images or are
            named.
        metric: the metric of the score.
    """
    shares = torch.bincount(labels, minlength=classes).double() / len(labels)
    most, present = float(shares.max()), int((shares > 0).sum())
    if metric == "accuracy":
        return 1 / classes, most
    if metric == "balanced_accuracy":
        return 1 / classes, 1 / present
    guessed = 2 * shares / classes / (shares + 1 / classes)  # 2 precision recall / (precision + recall)
    return float(guessed.mean()), 2 * most / (1 + most) / present


def _score(summary: Summary, arm: str, budget: Budget) -> float | None:
    """The mean score of an arm on the primary split."""
    wanted = (arm, budget, summary.settings.primary_split, summary.settings.metric)
    return next((row.mean for row in summary.means if (row.arm, row.budget, row.split, row.metric) == wanted), None)


def _next_steps(summary: Summary, first: Recommendation, jobs: int) -> tuple[list[str], int | None, float | None]:
    """What would decide an open question, in words; the draws to continue with, and the seconds that they take."""
    done = 1 + max(score.draw for score in summary.scores)
    if first.verdict == "undecided" and first.draws_needed is not None:
        more = max(1, first.draws_needed - done)
        seconds = more * sum(arm.seconds for arm in summary.seconds) / done / jobs
        if more > MANY * done:
            step = f"It would take about {plural(more, 'more label draw')} to decide it, {in_words(seconds)}."
            return [f"{step} The difference is too small for that to be worthwhile."], None, None
        step = f"{plural(more, 'more label draw')} would probably decide it, {in_words(seconds)}."
        return [step], done + more, seconds
    steps = ["Probably no number of label draws would decide it."] if first.verdict == "undecided" else []
    if steps and not summary.advice.startswith("Add label draws"):
        steps.append(summary.advice)
    return steps, None, None


def _more_labels(summary: Summary, first: Recommendation, best: str, labeled: Mapping[Budget, int]) -> list[str]:
    """The gain from more labels, as far as it was measured."""
    now, metric = _score(summary, best, first.budget), summary.settings.metric
    for budget in sorted(labeled, key=labeled.__getitem__):
        then = _score(summary, best, budget)
        if labeled[budget] <= labeled[first.budget] or now is None or then is None:
            continue
        if SCORES[metric].merit(then) - SCORES[metric].merit(now) >= summary.settings.smallest_effect:
            added = f"{labeled[budget] - labeled[first.budget]} more images"
            if isinstance(budget, int) and isinstance(first.budget, int):
                added = f"{budget - first.budget} more images per class"
            is_so = "is right on" if metric == "accuracy" else f"has a {METRIC_NAMES[metric]} of"
            return [
                f"Label about {added}: with {labels_in_words(budget)} the same choice, to {ARMS[best].advice}, "
                f"{is_so} {SCORES[metric].text(then)}."
            ]
    return []

"""The headline of a comparison: what a user should do of all that they could, and what next, without names of arms."""

from dataclasses import replace

import torch

from unmask.config import ARMS
from unmask.config.budget import Budget
from unmask.data.load import Dataset
from unmask.runs.comparison_records import Answer, Recommendation, Summary
from unmask.wording import in_words, plural


def with_answer(summary: Summary, data: Dataset, jobs: int) -> Summary:
    """The summary with its headline, where there was a choice."""
    settings = summary.settings
    found = [one for one in summary.recommendations if one.budget == settings.primary_budget]
    if not found or found[0].split not in data.tests:
        return summary
    first = found[0]
    best = first.against if first.verdict == "loss" else first.arm
    accuracy = _accuracy(summary, best, first.budget, first.split)
    assert accuracy is not None
    labels = data.tests[first.split].labels
    chance, majority = 1 / len(data.classes), float(torch.bincount(labels).max()) / len(labels)
    steps, draws, seconds = _next_steps(summary, first, best, jobs)
    answer = Answer(
        sentence=first.sentence,
        accuracy=accuracy,
        chance=chance,
        majority=majority,
        test_images=len(labels),
        context=(
            f"It is right on {accuracy:.1%} of {plural(len(labels), 'test image')}; a guess would be on {chance:.1%}, "
            f"and always the most frequent class on {majority:.1%}."
        ),
        next_step=" ".join(steps),
        draws=draws,
        seconds=seconds,
    )
    return replace(summary, answer=answer)


def _accuracy(summary: Summary, arm: str, budget: Budget, split: str) -> float | None:
    wanted = (arm, budget, split, "accuracy")
    return next((row.mean for row in summary.means if (row.arm, row.budget, row.split, row.metric) == wanted), None)


def _next_steps(
    summary: Summary, first: Recommendation, best: str, jobs: int
) -> tuple[list[str], int | None, float | None]:
    """What to do next in words; the draws with which to go on, and the seconds that they take."""
    done = 1 + max(score.draw for score in summary.scores)
    if first.verdict == "undecided" and first.draws_needed is not None:
        more = max(1, first.draws_needed - done)
        seconds = more * sum(arm.seconds for arm in summary.seconds) / done / jobs
        step = f"{plural(more, 'more label draw')} would probably decide it, {in_words(seconds)}."
        return [step, *_more_labels(summary, first, best)], done + more, seconds
    steps = ["No number of label draws would probably decide it."] if first.verdict == "undecided" else []
    if steps and not summary.advice.startswith("Add label draws"):
        steps.append(summary.advice)
    return [*steps, *_more_labels(summary, first, best)], None, None


def _more_labels(summary: Summary, first: Recommendation, best: str) -> list[str]:
    """What more labels bring, as far as it was measured."""
    now = _accuracy(summary, best, first.budget, first.split)
    numbers = [one for one in summary.settings.budgets if isinstance(one, int)]
    if not isinstance(first.budget, int):
        return []
    for budget in sorted(one for one in numbers if one > first.budget):
        then = _accuracy(summary, best, budget, first.split)
        if now is not None and then is not None and then - now >= summary.settings.smallest_effect:
            added = budget - first.budget
            return [
                f"Label about {added} more images per class: with {budget} the same choice, to {ARMS[best].advice}, is "
                f"right on {then:.1%}."
            ]
    return []

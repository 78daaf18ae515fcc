"""The tuning draws: every alternative is tried on them, and validation images choose recipes, baseline and answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unmask.comparison.candidates import arms_of, candidates, leader
from unmask.comparison.plan import Chosen, TuningKey
from unmask.config import ARMS, JUDGED, Arm, CompareConfig
from unmask.config.budget import Budget
from unmask.config.metric import SCORES
from unmask.inference.baseline import competes, rank_on_validation
from unmask.inference.image_groups import per_group
from unmask.inference.recommend import compared_with, other_starts, same_start
from unmask.runs.layout import TUNING, TUNING_OUTPUTS
from unmask.runs.trials import read_tuning
from unmask.tasks.kinds import AnyTask
from unmask.training.checkpoint import load_tensors

Correct = Mapping[str, NDArray[np.float64]]
"""By arm: the metric's value per validation image or group of them (`Task.contributions`, `per_group`), more is better,
NaN if unreadable, shape (tuning draws, images or groups)."""


def tuned_arms(config: CompareConfig) -> list[Arm]:
    """The arms that are trained on tuning draws: all that a user could take; none if there is nothing to choose."""
    arms = [arm for arm in arms_of(config) if arm.advice]
    return arms if len(arms) > 1 or any(len(candidates(config, arm)) > 1 for arm in arms) else []


def first_keys(config: CompareConfig) -> list[TuningKey]:
    """The tuning trials that wait for no other: every candidate of the arms that choose for themselves."""
    arms = tuned_arms(config)
    leaders = dict.fromkeys(leader(config, arm) for arm in arms)
    wanted = [arm for arm in leaders if arm in arms or len(candidates(config, arm)) > 1]
    return _keys(config, {(b, arm.name): range(len(candidates(config, arm))) for arm in wanted for b in config.budgets})


def following_keys(config: CompareConfig, chosen: Chosen) -> list[TuningKey]:
    """The tuning trials of arms whose recipe another arm chooses, as far as it has."""
    arms = [arm for arm in tuned_arms(config) if leader(config, arm) is not arm]
    places = [(budget, arm.name) for arm in arms for budget in config.budgets]
    return _keys(config, {place: [chosen[place]] for place in places if place in chosen})


def _keys(config: CompareConfig, wanted: Mapping[tuple[Budget, str], Sequence[int]]) -> list[TuningKey]:
    return [
        TuningKey(budget, draw, arm, candidate)
        for draw in range(config.tuning_draws)
        for (budget, arm), numbers in wanted.items()
        for candidate in numbers
    ]


class RecipeChoice:
    """The candidate of every arm per budget, by mean validation score over tuning draws; the first wins a tie.

    It grows while trials are trained: every record is read once, however often it is used.
    """

    def __init__(self, config: CompareConfig, out: Path) -> None:
        """For the comparison in a folder."""
        self._config, self._out = config, out
        self._unread: dict[tuple[Budget, str], list[TuningKey]] = {}
        for key in reversed(first_keys(config)):
            self._unread.setdefault((key.budget, key.arm), []).append(key)
        self._sums: dict[tuple[Budget, str], dict[int, float]] = {}

    def look(self) -> dict[tuple[Budget, str], int]:
        """The choices so far. An arm has none before all trials of `first_keys` that choose for it are done."""
        for place, keys in self._unread.items():
            sums = self._sums.setdefault(place, {})
            while keys and (file := TUNING.path(self._out, keys[-1].name)).exists():
                merit = SCORES[self._config.metric].merit(read_tuning(file).val_score)
                candidate = keys.pop().candidate
                sums[candidate] = sums.get(candidate, 0) + merit
        best = {place: max(found, key=found.__getitem__) for place, found in self._sums.items() if found}
        arms = arms_of(self._config)
        return {
            (budget, arm.name): best.get((budget, leader(self._config, arm).name), 0)
            for budget in self._config.budgets
            for arm in {**dict.fromkeys(arms), **dict.fromkeys(leader(self._config, arm) for arm in arms)}
            if not self._unread.get((budget, leader(self._config, arm).name))
        }


def choose_recipes(config: CompareConfig, out: Path) -> dict[tuple[Budget, str], int]:
    """The choices of `RecipeChoice` so far."""
    return RecipeChoice(config, out).look()


def read_correct(
    config: CompareConfig,
    out: Path,
    chosen: Chosen,
    task: AnyTask,
    labels: Tensor,
    groups: NDArray[np.int64] | None = None,
) -> Mapping[Budget, Correct]:
    """By budget: how well every alternative, with its chosen recipe, did on the validation images, whose labels and
    groups these are."""
    found: dict[Budget, dict[str, NDArray[np.float64]]] = {}
    for budget in config.budgets:
        for arm in tuned_arms(config):
            keys = [TuningKey(budget, t, arm.name, chosen[budget, arm.name]) for t in range(config.tuning_draws)]
            judged = [load_tensors(TUNING_OUTPUTS.path(out, key.name))[0]["val"].numpy() for key in keys]
            rows = [per_group(task.contributions(one, labels.numpy(), config.metric), groups) for one in judged]
            found.setdefault(budget, {})[arm.name] = SCORES[config.metric].sign * np.stack(rows)
    return found


@dataclass(frozen=True)
class Choice:
    """What the tuning draws decided, without any test images."""

    recipes: Chosen
    correct: Mapping[Budget, Correct]
    """See `read_correct`; empty if there was nothing to choose."""

    def reported(self, config: CompareConfig) -> tuple[str, ...]:
        """The arms to train on the reported draws: those asked for, or those left by the tuning.

        These are, at some budget: the pretrained arm; the best scratch arm, and those that validation cannot tell from
        it; the best alternative, the best from other starting weights, and those that validation cannot tell from the
        best. Probes are always kept, since they cost next to nothing.
        """
        return self._left(config, rivals=True)

    def needed(self, config: CompareConfig) -> tuple[str, ...]:
        """The reported arms without the rivals of the best ones, unless they were asked for.

        A gain, and equivalence, must hold against the best arm and against every rival. So as long as they do not hold
        against the best one alone, rivals decide nothing and need not be trained.
        """
        return self._left(config, rivals=False)

    def _left(self, config: CompareConfig, *, rivals: bool) -> tuple[str, ...]:
        arms = arms_of(config)
        if config.arms or not self.correct:
            return tuple(arm.name for arm in arms)
        left = {arm.name for arm in arms if arm.frozen or arm.name == JUDGED}
        for correct in self.correct.values():
            scratch = {arm: values for arm, values in correct.items() if competes(arm)}
            if scratch:
                ranking = rank_on_validation(scratch)
                left |= {ranking.best, *(ranking.rivals if rivals else ())}
            ranking = rank_on_validation(correct)
            against = compared_with(other_starts(ranking))
            left |= {ranking.best, *(against if rivals else against[:1])}
            left |= {*(same_start(ranking).rivals if rivals else ())}
        return tuple(name for name in ARMS if name in left)

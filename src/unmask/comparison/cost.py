"""Costs of a comparison's parts, counted in training images: passes of one image through the network, and back."""

from collections.abc import Sequence
from dataclasses import replace

from unmask.comparison.candidates import arms_of, candidates, leader, recipe_of
from unmask.comparison.pretrained_runs import images_seen
from unmask.comparison.tuning import tuned_arms
from unmask.config import ARMS, Arm, CompareConfig
from unmask.config.budget import Budget, labeled_count
from unmask.config.comparison import DEFAULT_DRAWS
from unmask.training.plan import plan_steps

SEVERAL = (5, 3)
"""The default number of pretrainings is the first of these that costs less than `SHARE` of the whole comparison. The
spread of P pretrainings has P - 1 degrees of freedom: few of them widen intervals more than few draws do."""
SHARE = 1 / 3
EVALUATION = 1 / 3
"""Cost of classifying an image, as a part of a training step's: it has no backward pass, which costs twice as much."""


def trial_images(config: CompareConfig, arm: Arm, candidate: int, *, seen: int, labeled: int) -> int:
    """Images that one training of an arm processes, none for a probe; a pretraining processes `seen` images."""
    if arm.frozen:
        return 0
    recipe = recipe_of(config, arm, candidate, seen=seen, labeled=labeled)
    steps, _, batch = plan_steps(recipe.optimizer, labeled)
    return (steps + recipe.head_steps) * batch


def foreseen(config: CompareConfig, *, rivals: bool = False) -> tuple[tuple[str, ...], dict[tuple[Budget, str], int]]:
    """The arms that will be reported and their recipes, as far as known before the tuning.

    The longest recipes, and all arms that the tuning may leave; of the scratch arms only the longest one, or with
    `rivals` all of them, as if validation images could not tell which one is best.
    """

    arms, longest, cost = arms_of(config), {}, {}
    for arm in arms:
        steps = [one.optimizer.steps or 0 for one in candidates(config, arm)]
        longest[arm.name] = steps.index(max(steps))
        cost[arm.name] = max(steps) * (config.compute_cap if arm.schedule == "compute" else 1)
    scratch = [arm.name for arm in arms if arm.competes]
    if scratch and not config.arms and not rivals:
        dropped = set(scratch) - {max(scratch, key=cost.__getitem__)}
        arms = [arm for arm in arms if arm.name not in dropped]
    recipes = {(budget, name): candidate for budget in config.budgets for name, candidate in longest.items()}
    return tuple(arm.name for arm in arms), recipes


def with_pretrainings(
    config: CompareConfig, *, pretrain_images: int, sizes: Sequence[int], evaluated: int
) -> CompareConfig:
    """The comparison with a number of pretrainings, if none is given: see `CompareConfig.pretrainings`.

    The number does not depend on the draws asked for, so that a comparison can continue with more of them.

    Args:
        config: the comparison.
        pretrain_images: images that pretraining takes.
        sizes: labeled training images per class.
        evaluated: images on which every training is evaluated.
    """
    starts = {arm.start for arm in arms_of(config) if arm.is_pretrained}
    if config.pretrainings is not None or config.pretrained or not starts:
        return config
    seen = images_seen(config, pretrain_images)

    def images(arm: Arm, candidate: int) -> float:
        """Cost of an arm with a recipe, at all budgets."""
        trained = (
            trial_images(config, arm, candidate, seen=seen, labeled=labeled_count(budget, sizes))
            for budget in config.budgets
        )
        return sum(trained) + EVALUATION * evaluated * len(config.budgets)

    reported, recipes = foreseen(config)
    tried = [
        (arm, range(len(candidates(config, arm))) if leader(config, arm) is arm else [0]) for arm in tuned_arms(config)
    ]
    tuning = sum(images(arm, one) for arm, ways in tried for one in ways)
    once = sum(images(ARMS[name], recipes[config.budgets[0], name]) for name in reported)
    trials = config.tuning_draws * tuning + DEFAULT_DRAWS * once
    once_each = len(starts) * seen
    cheap = (count for count in SEVERAL if count * once_each < SHARE * (count * once_each + trials))
    return replace(config, pretrainings=next(cheap, 1))

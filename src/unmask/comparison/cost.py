"""What the parts of a comparison cost, counted in images that go through the network in training."""

from dataclasses import replace

from unmask.comparison.plan import arms_of, candidates, compute_steps
from unmask.comparison.pretrained_runs import images_seen
from unmask.config import Arm, CompareConfig
from unmask.training.plan import plan_steps

SHARE = 1 / 3
"""Share of the whole comparison below which two pretrainings are the default."""


def trial_images(config: CompareConfig, arm: Arm, *, seen: int, labeled: int) -> int:
    """Images that one trial of an arm goes through; none for a probe. Of several candidates the longest counts.

    Args:
        config: of the comparison.
        arm: its arm.
        seen: images that one pretraining goes through.
        labeled: labeled images of the trial.
    """
    if arm.frozen:
        return 0
    recipes = candidates(config) if arm.is_tuned else (config.finetune,)
    costs = []
    for recipe in recipes:
        steps, _, batch = plan_steps(recipe.optimizer, labeled)
        if arm.schedule == "compute":
            steps = compute_steps(config, recipe, seen=seen, labeled=labeled)[0]
        costs.append((steps + recipe.head_steps) * batch)
    return max(costs)


def with_pretrainings(config: CompareConfig, *, pretrain_images: int, classes: int) -> CompareConfig:
    """The comparison with a number of pretrainings, where none is given: see `CompareConfig.pretrainings`.

    The number does not depend on the draws asked for, so that a comparison can go on with more of them.
    """
    starts = {arm.start for arm in arms_of(config) if arm.is_pretrained}
    if config.pretrainings is not None or config.pretrained or not starts:
        return config
    seen = images_seen(config, pretrain_images)
    trials = CompareConfig.draws * sum(
        trial_images(config, arm, seen=seen, labeled=budget * classes)
        for arm in arms_of(config)
        for budget in config.budgets
    )
    both = 2 * len(starts) * seen
    return replace(config, pretrainings=2 if both < SHARE * (both + trials) else 1)

"""Which trials a comparison has, and the configuration of each: pure functions of the comparison's configuration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unmask.config import ARMS, Arm, ClassifyConfig, ClassifyRecipe, CompareConfig
from unmask.config.arms import Start
from unmask.randomness import derive_seed
from unmask.training.plan import plan_steps

HIDDEN = 0.75
"""Largest share of cells that an arm with hidden cells hides."""


@dataclass(frozen=True, order=True)
class TrialKey:
    """One training of the table. `pretraining` is None for arms that start from no pretraining of the comparison."""

    budget: int
    draw: int
    arm: str
    pretraining: int | None

    @property
    def name(self) -> str:
        """The trial's file name without its ending."""
        suffix = "" if self.pretraining is None else f"-p{self.pretraining}"
        return f"{self.arm}-b{self.budget}-d{self.draw}{suffix}"


def arms_of(config: CompareConfig) -> list[Arm]:
    """The arms to run, in the order asked for."""
    return [ARMS[name] for name in config.arms]


def count_pretrainings(config: CompareConfig) -> int:
    """How many pretrained encoders the comparison uses."""
    return len(config.pretrained) or config.pretrainings


def all_trials(config: CompareConfig) -> list[TrialKey]:
    """Every trial, in the order of work: draw by draw, so that an interrupted table is balanced over arms."""
    return [
        TrialKey(budget, draw, arm.name, pretraining)
        for draw in range(config.draws)
        for budget in config.budgets
        for arm in arms_of(config)
        if budget == config.budgets[0] or not arm.primary_only
        for pretraining in (range(count_pretrainings(config)) if arm.is_pretrained else [None])
    ]


def audited_trials(config: CompareConfig) -> list[list[TrialKey]]:
    """The trials whose networks an audit looks at: for each label draw one of every arm, at the primary budget.

    Of several pretrainings draw d takes number d modulo their count.
    """
    arms = _audited_arms(config)
    count = count_pretrainings(config)
    return [
        [TrialKey(config.budgets[0], draw, arm.name, draw % count if arm.is_pretrained else None) for arm in arms]
        for draw in range(config.draws)
    ]


def _audited_arms(config: CompareConfig) -> list[Arm]:
    """In the order of `ARMS`. Of arms that differ in their schedule alone the one with its best schedule stands."""
    arms = [arm for name, arm in ARMS.items() if name in config.arms and arm.audited]
    tuned = {(arm.start, arm.hides_cells) for arm in arms if arm.schedule == "best"}
    return [arm for arm in arms if arm.schedule == "best" or (arm.start, arm.hides_cells) not in tuned]


def candidates(config: CompareConfig) -> tuple[ClassifyRecipe, ...]:
    """The recipes among which tuned arms choose; by default the fine-tuning recipe without head warm-up.

    Images are varied and computed alike in all arms: augmentation, mixup and precision are those of fine-tuning.
    """
    given = config.scratch_candidates or (replace(config.finetune, head_steps=0, encoder_lr_scale=1.0),)
    fine = config.finetune
    return tuple(
        replace(
            one,
            augment=fine.augment,
            mixup=fine.mixup,
            optimizer=replace(one.optimizer, precision=fine.optimizer.precision),
        )
        for one in given
    )


def compute_steps(config: CompareConfig, recipe: ClassifyRecipe, *, seen: int, labeled: int) -> tuple[int, int, float]:
    """(steps with MRP's compute up to the cap, steps that would match it, fine-tuning in such steps).

    All are steps of `recipe`'s batch, counted in images: MRP goes through `seen` images in pretraining, each at about
    the cost of a training image (the encoder's forward and backward pass), and through (fine-tuning steps + steps of
    head warm-up) batches of fine-tuning. Batches are those really used, which `labeled` images may make smaller than
    the configured ones. The cap is a multiple of the fine-tuning's images.
    """
    fine = config.finetune.optimizer
    assert fine.steps is not None
    batch = plan_steps(recipe.optimizer, labeled)[2]
    ratio = plan_steps(fine, labeled)[2] / batch
    matching = round((fine.steps + config.finetune.head_steps) * ratio) + round(seen / batch)
    tuning = fine.steps * ratio
    return max(1, min(matching, round(config.compute_cap * tuning))), matching, tuning


def trial_config(
    config: CompareConfig,
    key: TrialKey,
    *,
    encoders: Mapping[Start, Sequence[Path]],
    chosen: Mapping[int, int],
    seen: int,
    classes: int,
) -> ClassifyConfig:
    """The configuration of one trial. All arms of a (budget, draw) share the labeled subset and the training seed.

    Args:
        config: of the comparison.
        key: the trial.
        encoders: pretrained runs by the start of the arms that use them, one for each pretraining.
        chosen: the candidate of tuned arms per budget.
        seen: images that one pretraining goes through.
        classes: how many there are.
    """
    arm = ARMS[key.arm]
    init = config.given if arm.start == "given" else None
    if key.pretraining is not None:
        init = str(encoders[arm.start][key.pretraining])
    recipe = config.finetune if not arm.is_tuned else candidates(config)[chosen[key.budget]]
    if arm.schedule == "compute":
        steps, _, _ = compute_steps(config, recipe, seen=seen, labeled=key.budget * classes)
        recipe = replace(recipe, optimizer=replace(recipe.optimizer, steps=steps))
    return ClassifyConfig(
        data=config.data,
        encoder=config.encoder,
        recipe=recipe,
        init=init,
        budget=key.budget,
        seed=derive_seed(config.seed, "training", key.draw),
        subset_seed=derive_seed(config.seed, "draw", key.draw),
        hide_cells=HIDDEN if arm.hides_cells else 0.0,
        hide_cell=config.pretrain.mask.cell,
    )


def tuning_config(config: CompareConfig, budget: int, candidate: int, draw: int) -> ClassifyConfig:
    """The configuration of a tuning trial, on a label draw that no reported trial uses."""
    return ClassifyConfig(
        data=config.data,
        encoder=config.encoder,
        recipe=candidates(config)[candidate],
        budget=budget,
        seed=derive_seed(config.seed, "tuning training", draw),
        subset_seed=derive_seed(config.seed, "tuning draw", draw),
    )

"""Which trials a comparison has, and the configuration of each: pure functions of the comparison's configuration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

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
    repeat: int = 0
    """Which of the trainings of this arm on this draw, each with a training seed of its own."""

    @property
    def name(self) -> str:
        """The trial's file name without its ending."""
        suffix = "" if self.pretraining is None else f"-p{self.pretraining}"
        repeated = f"-r{self.repeat}" if self.pretraining is None and self.repeat else ""
        return f"{self.arm}-b{self.budget}-d{self.draw}{suffix}{repeated}"


def arms_of(config: CompareConfig) -> list[Arm]:
    """The arms to run, in the order asked for."""
    return [ARMS[name] for name in config.arms]


def count_pretrainings(config: CompareConfig) -> int:
    """How many pretrained encoders the comparison uses; `cost.with_pretrainings` decides where nothing is said."""
    return len(config.pretrained) or config.pretrainings or 1


def trial_of(config: CompareConfig, budget: int, draw: int, arm: Arm, repeat: int = 0) -> TrialKey:
    """A training of an arm on a draw: from the pretraining whose turn it is, or, in the crossed design, from each."""
    turn = repeat if config.design == "crossed" else draw % count_pretrainings(config)
    return TrialKey(budget, draw, arm.name, turn if arm.is_pretrained else None, repeat)


def all_trials(config: CompareConfig) -> list[TrialKey]:
    """Every trial, in the order of work: draw by draw, so that an interrupted table is balanced over arms."""
    repeats = count_pretrainings(config) if config.design == "crossed" else 1
    return [
        trial_of(config, budget, draw, arm, repeat)
        for draw in range(config.draws)
        for budget in config.budgets
        for arm in arms_of(config)
        for repeat in range(repeats)
    ]


def audited_trials(config: CompareConfig) -> list[list[TrialKey]]:
    """The trials whose networks an audit looks at: for each label draw one of every arm, at the primary budget.

    Of several pretrainings draw d takes number d modulo their count.
    """
    arms, count = _audited_arms(config), count_pretrainings(config) if config.design == "crossed" else 1
    return [
        [trial_of(config, config.budgets[0], draw, arm, draw % count) for arm in arms] for draw in range(config.draws)
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
    """The configuration of one trial. All arms of a (budget, draw, repeat) share labeled subset and training seed.

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
        recipe = replace(recipe, optimizer=recipe.optimizer.for_steps(steps))
    return ClassifyConfig(
        data=config.data,
        encoder=config.encoder,
        recipe=recipe,
        init=init,
        budget=key.budget,
        seed=derive_seed(config.seed, "training", key.draw, key.repeat),
        **labeled_images(config, config.tuning_draws + key.draw),
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
        **labeled_images(config, draw),
    )


class _Subset(TypedDict):
    subset_seed: int
    subset_index: int
    nested_budgets: tuple[int, ...]


def labeled_images(config: CompareConfig, index: int) -> _Subset:
    """The fields of a training that say which labeled images it gets: tuning draws come first, then reported ones."""
    return _Subset(
        subset_seed=derive_seed(config.seed, "draw"), subset_index=index, nested_budgets=tuple(sorted(config.budgets))
    )

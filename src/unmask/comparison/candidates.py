"""The recipes from which the arms of a comparison choose on tuning draws."""

from dataclasses import replace

from unmask.config import ARMS, JUDGED, Arm, ClassifyRecipe, CompareConfig
from unmask.config.comparison import AUTO
from unmask.training.plan import plan_steps

GENTLE = 0.1
"""Learning rate of an encoder that should not forget its starting weights, relative to the head's."""


def arms_of(config: CompareConfig) -> list[Arm]:
    """The arms that take part: those asked for, or the default ones and, if weights are given, those that use them."""
    given = config.given not in (None, AUTO)
    return [ARMS[name] for name in config.arms] or [
        arm for arm in ARMS.values() if arm.default or (given and arm.needs_given)
    ]


def leader(config: CompareConfig, arm: Arm) -> Arm:
    """The arm whose tuning decides the recipe of an arm: its own, or that of the arm that it controls.

    Longer training uses the best schedule of the same start; scratch with the fine-tuning schedule uses that of the
    pretrained arm, so that the two differ only in their starting weights.
    """
    if arm.schedule == "compute":
        same = [
            one for one in ARMS.values() if (one.start, one.hides_cells, one.schedule) == (arm.start, False, "best")
        ]
        return same[0] if same else arm
    follows = arm.schedule == "finetune" and arm.start == "random" and not arm.frozen
    return ARMS[JUDGED] if follows and ARMS[JUDGED] in arms_of(config) else arm


def candidates(config: CompareConfig, arm: Arm) -> tuple[ClassifyRecipe, ...]:
    """The recipes from which an arm, or the arm that leads it, chooses; without tuning the first one counts.

    All arms treat images alike: augmentation, mixup, class weights and precision are those of fine-tuning.
    """
    led = leader(config, arm)
    if led.schedule != "finetune":
        return tuple(_as_fine_tuning(config.finetune, one) for one in _scratch(config))
    if led.frozen or led.start == "random":
        return (config.finetune,)
    if led.start == "given":
        own = config.finetune
        low = replace(own, encoder_lr_scale=GENTLE)
        kept = replace(low, freeze_batchnorm=True)
        head_first = replace(kept, head_steps=max(own.head_steps, (own.optimizer.steps or 0) // 2))
        return tuple(dict.fromkeys((own, low, kept, head_first)))
    return tuple(dict.fromkeys((config.finetune, replace(config.finetune, encoder_lr_scale=GENTLE))))


def _scratch(config: CompareConfig) -> tuple[ClassifyRecipe, ...]:
    plain = replace(config.finetune, head_steps=0, encoder_lr_scale=1.0)
    if not config.scratch_schedules:
        return config.scratch_candidates or (plain,)
    return tuple(
        replace(plain, optimizer=replace(plain.optimizer.for_steps(one.steps), lr=one.lr or plain.optimizer.lr))
        for one in config.schedules
    )


def _as_fine_tuning(fine: ClassifyRecipe, one: ClassifyRecipe) -> ClassifyRecipe:
    optimizer = replace(one.optimizer, precision=fine.optimizer.precision)
    return replace(one, augment=fine.augment, mixup=fine.mixup, class_weights=fine.class_weights, optimizer=optimizer)


def compute_steps(config: CompareConfig, recipe: ClassifyRecipe, *, seen: int, labeled: int) -> tuple[int, int, float]:
    """(steps with MRP's compute up to the cap, steps that would match it, fine-tuning in such steps).

    All are steps of `recipe`'s batch, counted in images: MRP goes through `seen` images in pretraining, each at about
    the cost of a training image (the encoder's forward and backward pass), and through (fine-tuning steps + steps of
    head warm-up) batches of fine-tuning. Batches are those actually used, which few `labeled` images may make smaller
    than the configured ones. The cap is a multiple of the fine-tuning's images.
    """
    fine = config.finetune.optimizer
    assert fine.steps is not None
    batch = plan_steps(recipe.optimizer, labeled)[2]
    ratio = plan_steps(fine, labeled)[2] / batch
    matching = round((fine.steps + config.finetune.head_steps) * ratio) + round(seen / batch)
    tuning = fine.steps * ratio
    return max(1, min(matching, round(config.compute_cap * tuning))), matching, tuning


def recipe_of(config: CompareConfig, arm: Arm, candidate: int, *, seen: int, labeled: int) -> ClassifyRecipe:
    """The recipe of one training of an arm with a candidate; a pretraining goes through `seen` images."""
    recipe = candidates(config, arm)[candidate]
    if arm.schedule != "compute":
        return recipe
    steps, _, _ = compute_steps(config, recipe, seen=seen, labeled=labeled)
    return replace(recipe, optimizer=recipe.optimizer.for_steps(steps))

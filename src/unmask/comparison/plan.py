"""Which cells a comparison has, and the configuration of each: pure functions of the comparison's configuration."""

from dataclasses import dataclass, replace
from pathlib import Path

from unmask.config import ClassifyConfig, ClassifyRecipe, CompareConfig
from unmask.randomness import derive_seed
from unmask.training.optimiser import plan_steps

PRETRAINED_ARMS = ("mrp", "probe_mrp", "given_mrp")
PROBES = ("probe_mrp", "probe_random")
_AUDITED = ("mrp", "scratch_best", "scratch_masked", "given", "given_mrp")


@dataclass(frozen=True, order=True)
class CellKey:
    """One training of the table. `pretrain_seed` is None for arms that start from no pretraining here."""

    budget: int
    seed: int
    arm: str
    pretrain_seed: int | None

    @property
    def name(self) -> str:
        """The cell's file name without its ending."""
        origin = "" if self.pretrain_seed is None else f"-p{self.pretrain_seed}"
        return f"{self.arm}-b{self.budget}-s{self.seed}{origin}"


def pretrainings(config: CompareConfig) -> int:
    """How many pretrained encoders the comparison uses."""
    return len(config.pretrained) or config.pretrain_seeds


def all_cells(config: CompareConfig) -> list[CellKey]:
    """Every cell, in the order of work: seed by seed, so that an interrupted table is balanced over arms."""
    cells = []
    for seed in range(config.seeds):
        for position, budget in enumerate(config.budgets):
            for arm in config.arms:
                if arm == "scratch_compute" and position > 0:
                    continue
                origins = range(pretrainings(config)) if arm in PRETRAINED_ARMS else [None]
                cells += [CellKey(budget, seed, arm, origin) for origin in origins]
    return cells


def audited_cells(config: CompareConfig) -> list[list[CellKey]]:
    """The cells whose networks an audit looks at: for each label draw one of every arm, at the primary budget.

    scratch_best stands for training from scratch, or scratch_same where it is not run; scratch_masked is the control:
    an encoder that is used to hidden cells. Of several pretrainings draw s takes number s modulo their count.
    """
    wanted = _AUDITED if "scratch_best" in config.arms else tuple(a.replace("_best", "_same") for a in _AUDITED)
    arms = [arm for arm in wanted if arm in config.arms]
    return [
        [
            CellKey(config.budgets[0], seed, arm, seed % pretrainings(config) if arm in PRETRAINED_ARMS else None)
            for arm in arms
        ]
        for seed in range(config.seeds)
    ]


def candidates(config: CompareConfig) -> tuple[ClassifyRecipe, ...]:
    """The recipes among which scratch_best chooses; by default the fine-tuning recipe without head warm-up.

    Images are varied and computed alike in all arms: augmentation, mixup and precision are those of fine-tuning.
    """
    given = config.scratch_candidates or (replace(config.finetune, head_steps=0, encoder_lr_scale=1.0),)
    fine = config.finetune
    return tuple(
        replace(
            one,
            augment=fine.augment,
            mixup=fine.mixup,
            optimiser=replace(one.optimiser, precision=fine.optimiser.precision),
        )
        for one in given
    )


def compute_steps(config: CompareConfig, recipe: ClassifyRecipe, *, seen: int, labelled: int) -> tuple[int, int, float]:
    """(steps of scratch_compute, steps that would match MRP's compute, fine-tuning in such steps).

    All are steps of `recipe`'s batch, counted in images: MRP goes through `seen` images in pretraining, each at about
    the cost of a training image (the encoder's forward and backward pass), and through (fine-tuning steps + steps of
    head warm-up) batches of fine-tuning. Batches are those really used, which `labelled` images may make smaller than
    the configured ones. The cap is a multiple of the fine-tuning's images.
    """
    fine = config.finetune.optimiser
    assert fine.steps is not None
    batch = plan_steps(recipe.optimiser, labelled)[2]
    ratio = plan_steps(fine, labelled)[2] / batch
    matching = round((fine.steps + config.finetune.head_steps) * ratio) + round(seen / batch)
    tuning = fine.steps * ratio
    return max(1, min(matching, round(config.compute_cap * tuning))), matching, tuning


def cell_config(
    config: CompareConfig,
    key: CellKey,
    *,
    encoders: dict[str, list[Path]],
    chosen: dict[int, int],
    seen: int,
    classes: int,
    cell: int | None,
) -> ClassifyConfig:
    """The training of one cell. All arms of a (budget, seed) share the labelled subset and the training seed.

    Args:
        encoders: pretrained runs by arm family, "mrp" and "given_mrp".
        chosen: scratch_best's candidate per budget.
        seen: images that one pretraining goes through.
        cell: side of a mask cell, for scratch_masked.
    """
    base = ClassifyConfig(
        data=config.data,
        encoder=config.encoder,
        recipe=config.finetune,
        budget=key.budget,
        seed=derive_seed(config.seed, "training", key.seed),
        subset_seed=derive_seed(config.seed, "draw", key.seed),
        hide_cell=cell,
    )
    if key.arm in ("mrp", "probe_mrp", "given_mrp"):
        assert key.pretrain_seed is not None
        family = "given_mrp" if key.arm == "given_mrp" else "mrp"
        return replace(base, init=str(encoders[family][key.pretrain_seed]))
    if key.arm == "given":
        return replace(base, init=config.given)
    if key.arm == "scratch_best":
        return replace(base, recipe=candidates(config)[chosen[key.budget]])
    if key.arm == "scratch_compute":
        recipe = candidates(config)[chosen[key.budget]]
        labelled = key.budget * classes
        steps, _, _ = compute_steps(config, recipe, seen=seen, labelled=labelled)
        return replace(base, recipe=replace(recipe, optimiser=replace(recipe.optimiser, steps=steps)))
    if key.arm == "scratch_masked":
        return replace(base, hide_cells=0.75)
    return base


def tuning_config(config: CompareConfig, budget: int, candidate: int, draw: int) -> ClassifyConfig:
    """A trial of scratch_best on a label draw that no reported cell uses."""
    return ClassifyConfig(
        data=config.data,
        encoder=config.encoder,
        recipe=candidates(config)[candidate],
        budget=budget,
        seed=derive_seed(config.seed, "tuning training", draw),
        subset_seed=derive_seed(config.seed, "tuning draw", draw),
    )

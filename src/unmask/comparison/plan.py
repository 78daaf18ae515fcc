"""Which trials a comparison has, and the configuration of each: pure functions of the comparison's configuration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from unmask.comparison.candidates import arms_of, recipe_of
from unmask.config import ARMS, Arm, ClassifyConfig, CompareConfig
from unmask.config.arms import Start
from unmask.config.budget import Budget, in_order, is_chosen, labeled_count
from unmask.config.stages import ChosenImages
from unmask.randomness import derive_seed
from unmask.runs.layout import CHOSEN
from unmask.runs.trials import trial_name, tuning_name

HIDDEN = 0.75
"""Largest share of cells that an arm with hidden cells hides."""


@dataclass(frozen=True)
class TrialKey:
    """One training of the table. `pretraining` is None for arms that do not start from one of the comparison."""

    budget: Budget
    draw: int
    arm: str
    pretraining: int | None
    repeat: int = 0
    """Number of the training of this arm on this draw, each with its own training seed."""

    @property
    def name(self) -> str:
        """The trial's file name without its suffix."""
        return trial_name(self.arm, self.budget, self.draw, self.pretraining, self.repeat)


@dataclass(frozen=True)
class TuningKey:
    """One training on a tuning draw: an arm with one of its candidate recipes."""

    budget: Budget
    draw: int
    arm: str
    candidate: int

    @property
    def name(self) -> str:
        """Its file name without its suffix."""
        return tuning_name(self.arm, self.budget, self.candidate, self.draw)


def count_pretrainings(config: CompareConfig) -> int:
    """How many pretrained encoders the comparison uses; `cost.with_pretrainings` decides if none is given."""
    return len(config.pretrained) or config.pretrainings or 1


def trial_of(config: CompareConfig, budget: Budget, draw: int, arm: Arm, repeat: int = 0) -> TrialKey:
    """Trainings of an arm on a draw: from the pretraining whose turn it is or, in the crossed design, from each."""
    turn = turn_of(config, draw, repeat)
    return TrialKey(budget, draw, arm.name, turn if arm.is_pretrained else None, repeat)


def turn_of(config: CompareConfig, draw: int, repeat: int = 0) -> int:
    """The pretraining of a draw or, in the crossed design, of one of its trainings."""
    return repeat if config.design == "crossed" else draw % count_pretrainings(config)


def all_trials(config: CompareConfig) -> list[TrialKey]:
    """Every trial, in the order of work: draw by draw, so that an interrupted table is balanced over arms."""
    return [
        trial_of(config, budget, draw, arm, repeat)
        for draw in range(config.planned_draws)
        for budget in config.budgets
        for arm in arms_of(config)
        for repeat in range(_repeats(config))
    ]


def _repeats(config: CompareConfig) -> int:
    """Trainings of an arm per budget and draw."""
    return count_pretrainings(config) if config.design == "crossed" else 1


def audited_trials(config: CompareConfig) -> list[list[TrialKey]]:
    """The trials whose networks are audited: for each label draw one of every arm, at the primary budget.

    With several pretrainings draw d takes number d modulo their count.
    """
    arms, budget, repeats = _audited_arms(config), config.budgets[0], _repeats(config)
    return [
        [trial_of(config, budget, draw, arm, draw % repeats) for arm in arms] for draw in range(config.planned_draws)
    ]


def _audited_arms(config: CompareConfig) -> list[Arm]:
    """In the order of `ARMS`. Of arms that differ only in schedule, the one with its best schedule is kept."""
    arms = [arm for name, arm in ARMS.items() if arm in arms_of(config) and arm.audited]
    tuned = {(arm.start, arm.hides_cells) for arm in arms if arm.schedule == "best"}
    return [arm for arm in arms if arm.schedule == "best" or (arm.start, arm.hides_cells) not in tuned]


Chosen = Mapping[tuple[Budget, str], int]
"""The candidate recipe that an arm takes, by budget and arm."""


@dataclass(frozen=True, kw_only=True)
class Materials:
    """What the trainings of a comparison share besides its configuration."""

    encoders: Mapping[Start, Sequence[Path]]
    """Pretrained runs by the start of the arms that use them, one for each pretraining."""
    seen: int
    """Images that one pretraining processes."""
    sizes: Sequence[int]
    """Labeled training images per class."""
    out: Path | None = None
    """Folder of the comparison, which lists chosen images; None if there are none."""


def trial_config(config: CompareConfig, key: TrialKey, candidate: int, materials: Materials) -> ClassifyConfig:
    """The configuration of one trial. All arms of a (budget, draw, repeat) share labeled subset and training seed."""
    seed = derive_seed(config.seed, "training", key.draw, key.repeat)
    return _training(config, key, candidate, materials, seed, config.tuning_draws + key.draw)


def tuning_config(config: CompareConfig, key: TuningKey, materials: Materials) -> ClassifyConfig:
    """The configuration of a tuning trial, on a label draw that no reported trial uses."""
    trial = trial_of(config, key.budget, key.draw, ARMS[key.arm], key.draw % _repeats(config))
    seed = derive_seed(config.seed, "tuning training", key.draw)
    return _training(config, trial, key.candidate, materials, seed, key.draw)


def _training(
    config: CompareConfig, key: TrialKey, candidate: int, materials: Materials, seed: int, index: int
) -> ClassifyConfig:
    arm = ARMS[key.arm]
    init = config.given if arm.start == "given" else None
    if key.pretraining is not None:
        init = str(materials.encoders[arm.start][key.pretraining])
    labeled = labeled_count(key.budget, materials.sizes)
    turn = turn_of(config, key.draw, key.repeat)
    chosen = None if materials.out is None else ChosenImages(file=choice_file(materials.out, index, turn))
    return ClassifyConfig(
        data=config.data,
        encoder=config.encoder,
        recipe=recipe_of(config, arm, candidate, seen=materials.seen, labeled=labeled),
        init=init,
        normalization=config.normalization,
        budget=key.budget,
        metric=config.metric,
        seed=seed,
        **labeled_images(config, index),
        chosen_images=chosen if is_chosen(key.budget) else None,
        hide_cells=HIDDEN if arm.hides_cells else 0.0,
        hide_cell=config.pretrain.mask.cell,
    )


def choice_file(out: Path, index: int, pretraining: int) -> Path:
    """The list of images that a pretraining chooses for a label draw; tuning draws come first."""
    return CHOSEN.path(out, f"{index}-p{pretraining}")


class _Subset(TypedDict):
    subset_seed: int
    subset_index: int
    nested_budgets: tuple[Budget, ...]


def labeled_images(config: CompareConfig, index: int) -> _Subset:
    """The fields of a training that say which labeled images it gets: tuning draws come first, then reported ones."""
    return _Subset(
        subset_seed=derive_seed(config.seed, "draw"), subset_index=index, nested_budgets=tuple(in_order(config.budgets))
    )

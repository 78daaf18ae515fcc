"""The configuration of a comparison: arms × budgets × label draws."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from unmask.config.arms import ARMS
from unmask.config.budget import LABELS, Budget, Labels, in_ways, parse_budget
from unmask.config.cluster import ClusterConfig
from unmask.config.data import DataConfig
from unmask.config.metric import Metric
from unmask.config.model import EncoderConfig
from unmask.config.names import OneOf
from unmask.config.stages import ClassifyRecipe, PretrainRecipe, RecipeChoice
from unmask.config.validation import (
    require,
    require_at_least,
    require_choice,
    require_choices,
    require_least,
    require_ranges,
    require_seed,
)
from unmask.errors import UserError

AUTO, NONE = "auto", "none"
"""Values of `given`: weights already on this disk; none."""

EvaluateOn = Literal["test", "val"]


class Schedule(NamedTuple):
    """Number of steps and peak learning rate; None: that of fine-tuning."""

    steps: int
    lr: float | None


DEFAULT_BUDGETS = (10, 50, 100)
DEFAULT_DRAWS = 9


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """Does pretraining help? Arms × budgets × label draws, trained once each, with paired intervals and a verdict."""

    # What changes the result
    data: DataConfig = field(default_factory=DataConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    pretrain: PretrainRecipe = field(default_factory=PretrainRecipe)
    """Recipe of the pretrainings."""
    finetune: ClassifyRecipe = field(default_factory=ClassifyRecipe)
    """Recipe of every training on labels; scratch_best and scratch_compute replace its schedule with their own."""
    scratch_candidates: tuple[ClassifyRecipe, ...] = ()
    """Recipes from which scratch_best and scratch_compute take, per budget, the one that is best on validation data
    over the tuning draws. Default: finetune without head warm-up."""
    scratch_schedules: tuple[str, ...] = ()
    """Shorthand for scratch_candidates, which it replaces: steps, or steps@rate, such as 600 1200 1200@1e-3."""
    budgets: tuple[Budget, ...] = ()
    """Labeled training images: numbers per class, total:200 in all, shares such as 10% of each class, or all. The first
    is the primary budget, declared beforehand. The data must have enough images for each. Default: those of 10 50 100
    that the smallest class has."""
    labels: Annotated[tuple[Labels, ...], OneOf(LABELS)] = ()
    """How labeled images are selected, in one way or several side by side at equal totals (budgets total:50 ...).
    random: at random. balanced: at random, the same number per class. chosen: by the features of the pretrained
    encoder, as unmask choose does, from a random half of the training images in each draw. Default: as the budgets say,
    at random within classes."""
    draws: int | None = None
    """Label draws per budget, each with its own training seed; all arms share them. Default: nine, or as many as fit
    into the first hour of the command, but at least five."""
    until: Literal["draws", "decided"] = "draws"
    """draws: train all draws. decided: train them in looks, and stop once it is decided which weights to start from, or
    a decision is out of reach within twice `draws` (default: nine); all looks together keep the confidence level."""
    within: str | None = None
    """Time for the whole command, such as 90s, 40m or 2h: draws come in looks here too, and no draw starts that would
    not finish in time."""
    pretrainings: int | None = None
    """Pretrainings, each with its own seed. Default: five if they cost less than a third of the comparison (in
    images, one that is only evaluated at a third, at the default number of draws), else three if those do, else one."""
    design: Literal["diagonal", "crossed"] = "diagonal"
    """diagonal: every arm is trained once per draw, taking the pretrainings in turn. crossed: every pretraining is used
    in every draw, and arms without pretraining are trained as often."""
    tuning_draws: int = 3
    """Label draws, apart from the reported ones, on which validation images choose the recipes, the baseline and the
    recommended alternative."""
    arms: Annotated[tuple[str, ...], OneOf(tuple(ARMS))] = ()
    """Arms to train on every reported draw; docs/comparison.md explains each. Default: all are tried on the tuning
    draws, and those that could be the baseline or the answer are kept; given weights add their arms."""
    pretrained: tuple[Path, ...] = ()
    """Finished pretraining runs to use instead of pretraining here."""
    given: str | None = AUTO
    """Weights for the arms that start from given ones: a run folder, a weights file, timm:pretrained, timm:NAME or
    hf:USER/NAME. auto: timm's weights of this encoder if they are already on this disk. none: no weights."""
    normalization: Literal["weights", "data"] = "weights"
    """Normalization for given weights: the mean and deviation that they were trained with, or those of the data."""
    compute_cap: float = 4.0
    """scratch_compute trains for MRP's total compute, but at most this many times the fine-tuning steps."""
    metric: Metric = "accuracy"
    """The score that chooses recipes, probes, the baseline and the answer on validation images, and that verdicts use
    on test images. For unequal classes: balanced_accuracy (mean recall of the classes) or macro_f1. On a task that has
    no accuracy (several labels, numbers, masks) the default stands for that task's first metric."""
    smallest_effect: float = 0.01
    """Smallest difference of the metric that matters, for the verdict "equivalent"."""
    confidence: float = 0.95
    """Confidence level of the intervals."""
    seed: int = 0
    """Seed of everything: draws, pretrainings, trainings."""
    evaluate_on: EvaluateOn = "test"
    """test: the test images. val: one half of the validation images replaces the test and the other half the validation
    set, so that recipes can be tuned without using the test. Pages then speak of held-out validation images."""

    # What changes neither the table nor the verdicts
    keep: Literal["none", "best", "all"] = "best"
    """Trained networks to keep in OUT/networks for predict, embed, export and audit. best: for every arm the one with
    the best validation score at the largest budget. all: that of every trial. none: only those that `audit` needs."""
    audit: bool = False
    """Audit the networks of the primary budget as unmask audit does, and keep them: one network per arm and label draw,
    taking the pretrainings in turn."""

    chosen: RecipeChoice | None = None
    """The recipe that gave the defaults; None for a configuration made by hand."""

    # What changes the speed
    jobs: int | None = None
    """Trainings at a time, each in its own process with one thread. Default: the number of cores, or of GPUs."""
    pretrain_processes: int = 1
    """Processes per pretraining, data-parallel on as many GPUs or cores of one machine. Several give the same numbers
    as one up to rounding."""
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    """Where trainings run."""

    def __post_init__(self) -> None:
        for budget in self.budgets:
            parse_budget(budget, "budgets")
        require_choices(self)
        require(len(set(self.labels)) == len(self.labels), "labels", self.labels, "different ways")
        if self.labels:
            object.__setattr__(self, "budgets", in_ways(self.budgets or DEFAULT_BUDGETS, self.labels))
        require(len(set(self.budgets)) == len(self.budgets), "budgets", self.budgets, "different budgets")
        require_at_least("draws", self.planned_draws, 1)
        assert self.seconds_within != 0  # reading it checks it
        require_least(self, pretrainings=1, tuning_draws=1, jobs=1, pretrain_processes=1, compute_cap=1)
        require_ranges(self, smallest_effect="(0, 1]", confidence="[0.5, 1)")
        require_seed("seed", self.seed)
        self._check_arms()
        self._check_processes()
        assert self.schedules is not None  # reading them checks them

    def _check_processes(self) -> None:
        """Whether a job has a core for each process of a pretraining."""
        job = self.cluster
        if job.submits and not job.job_gpu and job.job_cores < self.pretrain_processes:
            raise UserError(
                f"pretrain_processes = {self.pretrain_processes}: a job has {job.job_cores} cores; give "
                f"`job_cores={self.pretrain_processes}`, or fewer processes"
            )

    def _check_arms(self) -> None:
        """Check the arms, and the settings that only some of them use."""
        for arm in self.arms:
            require_choice("arms", arm, tuple(ARMS))
        require(len(set(self.arms)) == len(self.arms), "arms", self.arms, "different arms")
        needs = [arm for arm in self.arms if ARMS[arm].needs_given]
        if self.given == NONE:
            object.__setattr__(self, "given", None)
        if needs and self.given is None:
            raise UserError(f"give weights with `given`: {', '.join(needs)} starts from them")
        if self.given not in (None, AUTO) and self.arms and not needs:
            users = ", ".join(name for name, arm in ARMS.items() if arm.needs_given)
            raise UserError(f"`given` has no effect: none of the arms that start from given weights is run ({users})")
        if self.pretrained and self.pretrainings not in (None, len(self.pretrained)):
            raise UserError(
                f"pretrainings = {self.pretrainings} has no effect: `pretrained` gives {len(self.pretrained)} of them; "
                "leave it out"
            )

    @property
    def planned_draws(self) -> int:
        """Planned label draws; time or a decision may end them earlier, and looks may go beyond them."""
        return DEFAULT_DRAWS if self.draws is None else self.draws

    @property
    def in_looks(self) -> bool:
        """Whether draws come in looks instead of all together."""
        return self.until == "decided" or self.within is not None

    @property
    def in_an_hour(self) -> bool:
        """Whether the clock limits the number of draws, because no setting does."""
        return self.draws is None and not self.in_looks

    @property
    def seconds_within(self) -> float | None:
        """`within` in seconds."""
        if self.within is None:
            return None
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", self.within)
        if found is None or float(found[1]) == 0:
            raise UserError(f"within = {self.within!r}: expected a time such as 90s, 40m or 2h")
        return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]

    @property
    def schedules(self) -> tuple[Schedule, ...]:
        """`scratch_schedules` as numbers."""
        return tuple(_schedule(text) for text in self.scratch_schedules)


def _schedule(text: str) -> Schedule:
    steps, _, rate = text.partition("@")
    try:
        return Schedule(int(steps), float(rate) if rate else None)
    except ValueError:
        raise UserError(f"scratch_schedules = {text!r}: expected steps, or steps@rate: 600, 1200@1e-3") from None

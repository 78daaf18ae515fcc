"""Records of a comparison's trainings in its JSON files, and its wall time. Scores are in [0, 1]."""

from dataclasses import dataclass
from typing import Annotated, Literal

from unmask.config import ClassifyRecipe
from unmask.config.budget import Budget
from unmask.config.serialize import Between
from unmask.runs.metrics import TrainingRow
from unmask.runs.ranges import Count, NotNegative
from unmask.runs.scores import Scores

Seconds = Annotated[float, Between(0, 1e11)]
"""Seconds of a clock, in a range that can be plotted."""
PieceKind = Literal["pretraining", "tuning", "trial"]
"""The trainings of a comparison."""


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """trials/NAME.json: one training of the table."""

    arm: str
    budget: Budget
    """Labeled images: a number per class, or "total:200", "10%", "all"."""
    draw: Count
    """Index of the label draw."""
    pretraining: Count | None
    """Index of the pretraining it starts from; None for an arm that starts from none of the comparison's."""
    repeat: Count = 0
    """Which of the trainings of this arm on this draw: each has its own training seed."""
    metrics: dict[str, Scores]
    """By split: "val" and the test sets."""
    labeled_images: Count
    """Training images with their labels."""
    recipe: ClassifyRecipe | None = None
    """Steps of the training; None for a probe."""
    seconds: NotNegative
    history: tuple[TrainingRow, ...]
    """Steps that were logged; empty for a probe."""
    probe_strength: float | None
    """The regularization of a probe, chosen on validation data."""


@dataclass(frozen=True, kw_only=True)
class TuningResult:
    """tuning/NAME.json: an arm with a candidate recipe, on a label draw that no trial uses."""

    arm: str
    budget: Budget
    draw: Count
    """Index of the tuning draw."""
    candidate: Count
    """Index of the recipe among those of the arm."""
    val_score: float | None
    """By the comparison's metric; None if it is undefined."""
    seconds: NotNegative


@dataclass(frozen=True, kw_only=True)
class ChosenIds:
    """chosen/NAME.json: the images that the encoder of a pretraining chooses from the pool of a label draw."""

    ids: tuple[Count, ...]
    """Indices of images as listed, in the order of choice: a budget is the first so many."""


@dataclass(frozen=True, kw_only=True)
class StartingWeights:
    """weights.json: which weights a comparison was given, whatever their files are called."""

    digests: dict[str, str]
    """By field: pretrained.0, pretrained.1, given."""


@dataclass(frozen=True, kw_only=True)
class WallTime:
    """wall.json."""

    wall_seconds: NotNegative
    """From start to now: interrupted sessions count, one that was killed outright does not."""


@dataclass(frozen=True, kw_only=True)
class PieceOfWork:
    """work/NAME.json: where and when one training of a comparison was done."""

    kind: PieceKind
    name: str
    """Name of its file, or of its run folder."""
    host: str
    """The machine's name."""
    started: Seconds
    """Seconds since 1970, by that machine's clock."""
    seconds: Seconds
    """For a pretraining that was continued: the last part."""

"""Scores of a network on one set of images, as a dataclass per task."""

from dataclasses import dataclass
from typing import ClassVar

from unmask.config.metric import SCORES, Metric
from unmask.errors import UserError
from unmask.runs.ranges import Count, Share


@dataclass(frozen=True, kw_only=True)
class ClassScores:
    """Scores of one class."""

    name: str
    recall: Share | None
    """None without a labeled image."""
    precision: Share | None
    """None if the class is never predicted."""
    images: Count


UNEQUAL = 0.3
"""Share of the most frequent class above which accuracy is not shown alone."""


@dataclass(frozen=True, kw_only=True)
class ClassificationScores:
    """Scores of a classifier on one set of images; shares in [0, 1]."""

    first: ClassVar[Metric] = "accuracy"
    """The task's first metric."""
    accuracy: Share
    balanced_accuracy: Share
    macro_f1: Share
    auroc: Share | None
    """One class against the rest, mean over the classes that have both kinds of images; None if there is none."""
    per_class: tuple[ClassScores, ...]
    confusion: tuple[tuple[Count, Count, Count], ...]
    """Confusions: true class, predicted class (indices) and number of images, if that is not 0."""
    knn_accuracy: Share | None = None
    """For a probe: nearest neighbors on the same features."""

    def __post_init__(self) -> None:
        if any(max(place) >= len(self.per_class) for *place, _ in self.confusion):
            raise UserError(f"confusion: names a class that is none of the {len(self.per_class)} of per_class")

    @property
    def images(self) -> int:
        """Number of scored images."""
        return sum(one.images for one in self.per_class)

    @property
    def majority(self) -> float:
        """Share of the most frequent class: the accuracy of always naming it."""
        return max(one.images for one in self.per_class) / sum(one.images for one in self.per_class)

    @property
    def chance(self) -> float:
        """Balanced accuracy of guessing among the classes that have images."""
        return 1 / sum(one.images > 0 for one in self.per_class)

    @property
    def unequal(self) -> bool:
        """Whether accuracy must not be shown alone."""
        return self.majority > UNEQUAL


@dataclass(frozen=True, kw_only=True)
class MaskClassScores:
    """Scores of one class of masks over all images; None if neither truth nor prediction shows it."""

    name: str
    iou: Share | None
    dice: Share | None
    boundary_iou: Share | None
    images: Count
    """Images that show the class."""
    pixels: Count
    """Pixels of the class in all true masks."""


@dataclass(frozen=True, kw_only=True)
class SegmentationScores:
    """Scores of predicted masks on one set of images, in [0, 1]; over all pixels of the set, not a mean of batches."""

    first: ClassVar[Metric] = "miou"
    """The task's first metric."""
    miou: Share
    """Intersection over union, mean over the classes that truth or prediction shows."""
    dice: Share
    """The same of Dice, 2 |A ∩ B| / (|A| + |B|)."""
    boundary_iou: Share
    """The same of the pixels within 2 % of the image's diagonal from an edge of their class (Cheng et al. 2021)."""
    pixel_accuracy: Share
    """Share of the pixels with the right class."""
    per_class: tuple[MaskClassScores, ...]


@dataclass(frozen=True, kw_only=True)
class LabelScores:
    """Scores of one of several labels, over the images for which it is known."""

    name: str
    images: int
    positives: int
    """Images with the label."""
    auroc: float | None
    """None without images of both kinds; likewise the next one."""
    average_precision: float | None
    f1: float


@dataclass(frozen=True, kw_only=True)
class MultilabelScores:
    """Scores of several labels on one set of images; shares in [0, 1]."""

    first: ClassVar[Metric] = "mean_average_precision"
    """The task's first metric."""
    images: int
    mean_average_precision: float | None
    macro_auroc: float | None
    micro_auroc: float | None
    macro_f1: float
    micro_f1: float
    per_label: tuple[LabelScores, ...]


@dataclass(frozen=True, kw_only=True)
class TargetScores:
    """Scores of one number, over the images for which it is known; errors are in its own unit."""

    name: str
    images: int
    mae: float | None
    rmse: float | None
    r2: float | None
    """None if all images have the same number."""
    spearman: float | None
    mean: float | None
    """Of the true numbers; likewise the next one."""
    std: float | None


@dataclass(frozen=True, kw_only=True)
class RegressionScores:
    """Scores of numbers on one set of images: the mean over several."""

    images: int
    mae: float | None
    rmse: float | None
    r2: float | None
    spearman: float | None
    per_target: tuple[TargetScores, ...]

    @property
    def first(self) -> Metric:
        """The task's first metric."""
        return "mae" if len(self.per_target) == 1 else "r2"


Scores = ClassificationScores | MultilabelScores | RegressionScores | SegmentationScores
"""Of any task on one set of images."""


def value_of(scores: Scores, metric: Metric) -> float | None:
    """A metric among scores; None if it is undefined."""
    found: float | None = getattr(scores, metric)
    return found


def merit_of(scores: Scores, metric: Metric) -> float:
    """A metric among scores, turned so that more is better; see `merit` in `unmask.config.metric`."""
    return SCORES[metric].merit(value_of(scores, metric))


def values_of(scores: Scores) -> dict[str, float | None]:
    """The scores by name, in the order of tables; those that only some networks have are included if present."""
    found = {name: getattr(scores, name) for name in SCORES if hasattr(scores, name)}
    return {name: value for name, value in found.items() if name != "knn_accuracy" or value is not None}

"""Measurements of a comparison besides its table of scores: values per image, tuning draws, the images of budgets."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from unmask.config.budget import Budget
from unmask.config.metric import Metric
from unmask.inference.hierarchy import PerImage, paired_differences


@dataclass(frozen=True)
class Evidence:
    """Every field may be empty; the method of an interval or a note then says what is missing."""

    images: Mapping[tuple[str, Budget, str], PerImage] = field(default_factory=dict)
    """By (arm, budget, split): the values per test image (`image_scores`) of `metric` for every trial of the table, the
    mean over repeated trainings. With them an interval is about other test images too."""
    grouped: bool = False
    """Whether these are values per group of test images (`per_group`): an interval is then about other groups."""
    evaluated: str = "test images"
    """The test images in words: half of the validation images may be in their place."""
    metric: Metric = "accuracy"
    """The metric of the values per image; intervals of other metrics hold for these test images."""
    tuning: Mapping[Budget, Mapping[str, NDArray[np.float64]]] = field(default_factory=dict)
    """By budget and arm: the metric's value per validation image, shape (tuning draws, validation images). With it the
    baseline is chosen before the reported draws."""
    overlap: Mapping[Budget, float] = field(default_factory=dict)
    """By budget: the mean share of labeled images that two reported draws have in common."""

    labeled: Mapping[Budget, float] = field(default_factory=dict)
    """By budget: its number of labeled training images, so that budgets of all kinds share one axis."""

    def of(self, arm: str, budget: Budget, split: str) -> PerImage | None:
        """Values per image of an arm, None if they are unknown."""
        return self.images.get((arm, budget, split)) or None

    def of_pair(self, first: tuple[str, Budget], second: tuple[str, Budget], split: str) -> PerImage | None:
        """Differences per image of two (arm, budget), None if they are unknown."""
        one, other = self.of(*first, split), self.of(*second, split)
        return None if one is None or other is None else paired_differences(one, other)

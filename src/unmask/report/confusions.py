"""Confused classes: mean confusion matrices as pictures, and the most confused pairs of classes in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unmask.config.budget import labels_in_words
from unmask.inference.verdict import describe_split
from unmask.report.blocks import Fold, Plate, Section, Table
from unmask.report.classes import confusion_map
from unmask.report.palette import look
from unmask.report.words import percent
from unmask.runs.contents import ComparisonRun
from unmask.runs.scores import ClassificationScores
from unmask.runs.summary_records import Summary
from unmask.wording import plural

DRAWN = 200
"""Most classes of a matrix that is drawn; with more, only the pairs are shown."""
_WRITTEN = 20
"""Most classes of a matrix that is also shown as a table."""
_PAIRS = 15
_SPOKEN = 5


@dataclass(frozen=True)
class Confusion:
    """Which classes were mistaken for which, by one training or on average over several."""

    title: str
    """Whose confusions, on which images."""
    classes: Sequence[str]
    images: Mapping[tuple[int, int], float]
    """Counts by (true, predicted), without zeros; means over trainings."""

    @classmethod
    def of(cls, title: str, scores: Sequence[ClassificationScores]) -> "Confusion":
        """The mean over trainings that were scored on the same images."""
        images: dict[tuple[int, int], float] = {}
        for true, predicted, count in (entry for one in scores for entry in one.confusion):
            images[true, predicted] = images.get((true, predicted), 0.0) + count / len(scores)
        return cls(title, [one.name for one in scores[0].per_class], images)

    @property
    def counts(self) -> NDArray[np.float64]:
        """Images [true, predicted]."""
        counts = np.zeros((len(self.classes), len(self.classes)))
        for pair, images in self.images.items():
            counts[pair] = images
        return counts

    @property
    def shares(self) -> dict[tuple[int, int], float]:
        """Shares of the predictions of each true class, without zeros."""
        totals: dict[int, float] = {}
        for (true, _), images in self.images.items():
            totals[true] = totals.get(true, 0.0) + images
        return {(true, predicted): images / totals[true] for (true, predicted), images in self.images.items()}

    def pairs(self, count: int) -> list[tuple[int, int]]:
        """The pairs (true, predicted) that are confused most often, by share of the true class, then by images."""
        shares = self.shares
        wrong = [pair for pair in self.images if pair[0] != pair[1]]
        return sorted(wrong, key=lambda pair: (-shares[pair], -self.images[pair], pair))[:count]

    def plates(self) -> list[Plate]:
        """The matrix as a picture, its worst confusions in words; nothing for too many classes."""
        if len(self.classes) > DRAWN:
            return []
        spoken = [
            f"{self.classes[i]} mistaken for {self.classes[j]}, {percent(self.shares[i, j])} % of its images"
            for i, j in self.pairs(_SPOKEN)
        ]
        worst = "; ".join(spoken) or "no image is mistaken for another class"
        alt = f"Confusion matrix of {plural(len(self.classes), 'class', 'classes')}, {self.title}. Most often: {worst}."
        return [Plate(confusion_map(self.counts, self.classes), alt, self.title)]

    def tables(self) -> list[Table]:
        """The most confused pairs, and the matrix if it is small enough to read."""
        rows = [
            (self.classes[i], self.classes[j], percent(self.shares[i, j]), _count(self.images[i, j]))
            for i, j in self.pairs(_PAIRS)
        ]
        columns = ("true class", "mistaken for", "% of its images", "images")
        tables = [Table(f"Most confused pairs, {self.title}", columns, rows)] if rows else []
        if len(self.classes) <= _WRITTEN:
            lines = [(name, *map(_count, row)) for name, row in zip(self.classes, self.counts, strict=True)]
            caption = f"Images of each true class (row) by predicted class (column), {self.title}"
            tables.append(Table(caption, ("true class", *self.classes), lines, numeric=True))
        return tables


def confusion_section(run: ComparisonRun, summary: Summary) -> Section:
    """The mean confusion matrix of every arm at the primary budget, on the images that the headline is about."""
    split, budget = summary.settings.primary_split, summary.settings.primary_budget
    found = []
    for arm in (row.arm for row in summary.seconds):
        trials = [one for one in run.trials if (one.arm, one.budget) == (arm, budget)]
        scored = (one.metrics.get(str(split)) for one in trials)
        own = [one for one in scored if isinstance(one, ClassificationScores)]
        if own:
            title = f"{look(arm).title}, mean of {plural(len(own), 'training')}"
            found.append(Confusion.of(title, own))
    intro = (
        f"On {describe_split(str(split))}, {labels_in_words(budget)}. Rows are true classes, columns "
        "predictions; color is the share of the true class, numbers count images, averaged over label draws."
    )
    plates = [plate for one in found for plate in one.plates()]
    tables = [table for one in found for table in one.tables()]
    folds = [Fold("Confusions of every arm as tables", tables)] if tables else []
    return Section("Which classes are confused", intro if found else "", plates=plates, folds=folds)


def _count(images: float) -> str:
    return f"{images:.1f}".removesuffix(".0")

"""Which units of a layer respond to which parts: the deep counterpart of the theory's captured features.

Letters: N images, U units, P parts; k classes of L parts, P = k · L.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unmask.audit.measures.auroc import auroc_matrix
from unmask.audit.measures.known_parts import Contrasts

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

THRESHOLD = 0.9
"""Held-out AUROC from which a part counts as captured. On 36 calibration networks (seeds 100 to 103 of
benchmarks/audit_calibration.py) anything from 0.88 to 0.91 gave the fewest errors, 3 of 288 pairs."""


@dataclass(frozen=True)
class Capture:
    """The parts that the units of a layer respond to."""

    auroc: Floats
    """AUROC of every unit for every part, over all images, the lower of the two of `part_auroc`, (U, P)."""
    score: Floats
    """AUROC of the best unit for each part, on images not used to choose it, (P,)."""
    threshold: float

    @property
    def captured(self) -> Bools:
        """Parts whose best unit reaches the threshold, (P,)."""
        return self.score >= self.threshold

    @property
    def responds(self) -> Bools:
        """Which units respond to which parts, (U, P)."""
        return self.auroc >= self.threshold


def part_auroc(values: Floats, absent: Floats, which: Contrasts) -> Floats:
    """The lower of two AUROCs: a unit that responds to a part distinguishes images that show it alone

    - from images of other classes: it is selective;
    - from the same images without the part: it is the part that it responds to. A classifier often has a default class
      for whatever it does not know; the units of that class respond to images without any learned part, and the first
      AUROC alone mistakes them for detectors of the parts that were not learned.

    Args:
        values: one response per image and unit, (N, U).
        absent: responses to the same images without the parts of their class, (N, U).
        which: the test images of each part, (N, P) each.

        Returns:
        (U, P).
    """
    selective = auroc_matrix(values, which.positive, which.negative)
    none = np.zeros_like(which.positive)
    both = np.concatenate([values, absent]), np.concatenate([which.positive, none])
    return np.minimum(selective, auroc_matrix(*both, np.concatenate([none, which.positive])))


def captured_parts(
    values: Floats, absent: Floats, which: Contrasts, first_half: Bools, threshold: float = THRESHOLD
) -> Capture:
    """The AUROC of the best unit for each part, without selection bias from choosing it among many.

    The unit is chosen on one half of the images and scored on the other, and vice versa; the score is the mean of the
    two. A part is captured if it reaches `threshold`.

    Args:
        values: one response per image and unit, (N, U): the mean over all positions.
        absent: responses to the same images without the parts of their class, (N, U).
        which: the images that tell, (N, P) each.
        first_half: (N,).
        threshold: calibrated by benchmarks/audit_calibration.py on networks whose answer is known.
    """
    halves = [part_auroc(values[rows], absent[rows], which.select(rows)) for rows in (first_half, ~first_half)]
    held_out = [_at_best(*pair) for pair in (halves, halves[::-1])]
    return Capture(part_auroc(values, absent, which), np.mean(held_out, axis=0), threshold)


def _at_best(choose: Floats, score: Floats) -> Floats:
    """For each part the score of the unit that is best by `choose`, (U, P) each → (P,)."""
    known = ~np.isnan(choose).any(0) & ~np.isnan(score).any(0)
    best = np.argmax(np.where(known, choose, 0.0), axis=0)
    return np.where(known, score[best, np.arange(score.shape[1])], np.nan)


@dataclass(frozen=True)
class Purity:
    """How many parts the responding units respond to."""

    units: int
    """Units that respond to at least one part."""
    one_part: float | None
    """Share of them that respond to exactly one part."""
    one_class: float | None
    """Share of them that respond to parts of one class only."""
    parts_per_unit: float | None
    """Mean number of parts they respond to."""


def purity(responds: Bools, classes: int) -> Purity:
    """Purity over the responding units of (U, P), parts grouped by class; None if no unit responds.

    A unit of a deep network may respond to all parts of one class, and to no other class: it represents the class.
    The theory's kernels should respond to one part.
    """
    active = responds[responds.any(1)]
    if not len(active):
        return Purity(0, None, None, None)
    by_class = active.reshape(len(active), classes, -1).any(2).sum(1)
    count = active.sum(1)
    return Purity(len(active), float((count == 1).mean()), float((by_class == 1).mean()), float(count.mean()))


def whole_classes(captured: Bools, classes: int) -> Bools:
    """Classes with all parts captured, (P,) → (k,)."""
    return np.all(captured.reshape(classes, -1), axis=1)

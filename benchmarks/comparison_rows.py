"""Definitions shared by the rows of benchmarks/comparison_statistics.py."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]
IMAGE, PRETRAINING_IMAGE, DRAW_IMAGE, REST = 30.0, 10.0, 25.0, 22.0
"""Standard deviations of a difference on a single image, in points: of the image, with the pretraining, with the draw,
and the rest; as measured from stored predictions."""
SPREADS = {
    "fashion": (0.66, 2.5, 0.5),
    "small": (0.66, 0.6, 0.4),
    "digits": (1.6, 4.8, 1.4),
    "encoders": (1.6, 1.0, 0.5),
    "none": (0.0, 2.5, 0.5),
}
"""Standard deviations over pretrainings, draws (with their training seeds), and both together, in points."""


@dataclass(frozen=True)
class Row:
    """Result of one setting: counts over its nulls, None if the old method says nothing."""

    part: str
    setting: str
    nulls: int
    old: tuple[float, float, float, float] | None
    new: tuple[float, float, float, float]
    """False gain, false loss, coverage, power."""
    width: float
    other: float | None = None

    @property
    def wrong(self) -> float:
        """Share of false verdicts."""
        return self.new[0] + self.new[1]

    def short(self) -> bool:
        """Whether it misses the claim, beyond chance."""
        least, most = 0.93 - chance(0.93, self.nulls), 0.05 + chance(0.05, self.nulls)
        return self.new[2] < least or self.wrong > most

    def careful(self) -> bool:
        """Whether it covers more than 97 %, beyond chance."""
        return self.new[2] > 0.97 + chance(0.97, self.nulls)

    def line(self) -> str:
        """Old and new figures in percent."""
        old = "      -      -      -      -" if self.old is None else "".join(f"{100 * x:7.1f}" for x in self.old)
        other = "" if self.other is None else f"  other {100 * self.other:.1f}"
        mark = " SHORT" if self.short() else " careful" if self.careful() else ""
        new = "".join(f"{100 * x:7.1f}" for x in self.new)
        return f"{self.part:9s} {self.setting:44s}{old} |{new}{self.width:7.2f}{other}{mark}"


def chance(share: float, nulls: int) -> float:
    """Monte Carlo error of a share: 2.33 standard deviations."""
    return 2.33 * float(np.sqrt(share * (1 - share) / nulls))


def rates_of(low: Array, high: Array, effect: float) -> tuple[float, float, float, float]:
    """Rates of intervals in comparisons with truth 0; they move with the truth, so power is that of shifted ones."""
    return float((low > 0).mean()), float((high < 0).mean()), covers(low, high), float((low + effect > 0).mean())


def covers(low: Array, high: Array) -> float:
    """Share of intervals around 0."""
    return float(((low <= 0) & (high >= 0)).mean())


def student(freedom: Array | float) -> Array:
    """Student's t of an interval of 95 %."""
    return np.asarray(special.stdtrit(freedom, 0.975))

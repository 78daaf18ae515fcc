"""Scores that may be undefined: None among values, NaN in arrays; and whether numbers vary at all."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def mean_of_known(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are not None; None without any."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def or_none(value: float) -> float | None:
    """The number, or None for NaN."""
    return None if np.isnan(value) else float(value)


def deviation(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation over the first axis of the numbers that are not NaN; exactly 0 for equal ones."""
    return np.where(varies(values), np.nanstd(values, axis=0), 0.0)


def varies(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether the numbers over the first axis that are not NaN differ.

    Their deviation does not tell: three times 0.1 have the mean 0.10000000000000002, and would have an R² of -1e29.
    """
    return np.asarray(np.fmax.reduce(values, axis=0) > np.fmin.reduce(values, axis=0))

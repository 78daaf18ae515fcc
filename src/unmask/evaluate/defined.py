"""Scores that may be undefined: None among values, NaN in arrays."""

from collections.abc import Iterable

import numpy as np


def mean_of_known(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are not None; None without any."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def or_none(value: float) -> float | None:
    """The number, or None for NaN."""
    return None if np.isnan(value) else float(value)

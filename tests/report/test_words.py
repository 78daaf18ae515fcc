"""Numbers in words."""

import numpy as np
import pytest

from unmask.report.words import decimal, duration, flatten, interval_text, percent, points, signed
from unmask.runs.records import Interval


def test_scores_and_differences() -> None:
    assert percent(0.7334) == "73.3"
    assert percent(-0.0001) == "0.0"
    assert percent(None) == "–"
    assert points(-0.0223) == "−2.2"
    assert points(0.0001) == "0.0"
    assert interval_text(Interval(0.5, 0.4, 0.61, 3, ""), percent) == "50.0 [40.0, 61.0]"
    assert interval_text(Interval(0.01, None, None, 3, ""), points) == "+1.0"
    assert interval_text(Interval(-0.5, -1, 0, 3, ""), signed) == "−0.50 [−1.00, +0.00]"
    assert interval_text(Interval(1.5, -0.25, 2, 3, ""), decimal) == "1.50 [−0.25, 2.00]"
    assert interval_text(None, decimal) == signed(None) == decimal(np.nan) == "–"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.25, "1.2 s"), (42, "42 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (3599.7, "1 h 0 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_flatten_keeps_every_leaf() -> None:
    value = {"a": {"b": 1.5, "c": [1, 2], "d": {}}, "e": [{"f": None}, {"f": True}]}
    assert flatten(value) == [("a.b", "1.5"), ("a.c", "1, 2"), ("a.d", "–"), ("e[0].f", "–"), ("e[1].f", "yes")]

"""Numbers for readers."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from unmask.config.metric import SCORES
from unmask.runs.records import AuditDifference, Interval

_LONGEST = 40
"""Characters of a name under a picture."""


def capital(text: str) -> str:
    """The text with its first letter capitalized, unless it begins like mIoU; the rest is unchanged, as in names."""
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]


def percent(share: float | None) -> str:
    """0.7334 → 73.3."""
    return "–" if share is None else f"{100 * share:.1f}".replace("-0.0", "0.0").replace("-", "−")


def points(share: float | None) -> str:
    """A signed difference in percentage points: 0.0223 → +2.2, with a true minus sign."""
    if share is None:
        return "–"
    text = f"{100 * share:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def decimal(value: float | None) -> str:
    """Two decimals: −0.50, with a true minus sign; a dash for None and NaN."""
    return "–" if value is None or math.isnan(value) else f"{value:.2f}".replace("-", "−")


def signed(value: float | None) -> str:
    """Two decimals with a sign: +1.50."""
    return f"+{decimal(value)}" if value is not None and value >= 0 else decimal(value)


def interval_text(row: Interval | AuditDifference | None, text: Callable[[float | None], str]) -> str:
    """Mean and interval, numbers written by `text`: 73.3 [72.6, 74.1]; only the mean if there is no interval, a dash
    without a row."""
    if row is None or row.low is None:
        return text(None if row is None else row.mean)
    return f"{text(row.mean)} [{text(row.low)}, {text(row.high)}]"


def value_writer(metric: str) -> Callable[[float | None], str]:
    """How values of a metric are written: in per cent, or as numbers."""
    return percent if SCORES[metric].share else significant


def change_writer(metric: str) -> Callable[[float | None], str]:
    """How differences of a metric are written: in points, or as numbers with a sign."""
    return points if SCORES[metric].share else _signed_number


def unit(metric: str, of_shares: str) -> str:
    """The text after a metric's name: ", %" or ", points" for shares; for others their direction, if lower is
    better."""
    score = SCORES[metric]
    return f", {of_shares}" if score.share else ", lower is better" * score.lower_is_better


def significant(value: float | None) -> str:
    """Three significant digits, with a true minus sign; a dash for None."""
    return "–" if value is None else f"{value:.3g}".replace("-", "−")


def _signed_number(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3g}".replace("-", "−")


def duration(seconds: float) -> str:
    """Seconds as the two largest units: 42 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


def time_unit(longest: float) -> tuple[float, str]:
    """A unit, in seconds and by name, in which times up to the longest one are easy to read."""
    return (3600.0, "hours") if longest > 7200 else (60.0, "minutes") if longest > 120 else (1.0, "seconds")


def name_end(name: str) -> str:
    """The end of a long name, which says more than its beginning."""
    return name if len(name) <= _LONGEST else "…" + name[1 - _LONGEST :]


def number(value: float) -> str:
    """A number with four significant digits."""
    return f"{value:.4g}"


def flatten(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Nested JSON as rows (dotted path, value as text). Empty objects and lists of plain values form one row."""
    if isinstance(value, Mapping) and value:
        return [row for key, item in value.items() for row in flatten(item, f"{path}.{key}".lstrip("."))]
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        return [row for i, item in enumerate(value) for row in flatten(item, f"{path}[{i}]")]
    if isinstance(value, list | tuple):
        return [(path, ", ".join(_plain(item) for item in value) or "–")]
    return [(path, _plain(value))]


def _plain(value: Any) -> str:
    if value is None or value == {}:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)

"""Numbers as a reader wants them."""

from collections.abc import Mapping
from typing import Any


def percent(share: float | None) -> str:
    """0.7334 → 73.3."""
    return "–" if share is None else f"{100 * share:.1f}".replace("-0.0", "0.0").replace("-", "−")


def points(share: float | None) -> str:
    """A signed difference in percentage points: 0.0223 → +2.2, with a true minus sign."""
    if share is None:
        return "–"
    text = f"{100 * share:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def score_interval(row: Mapping[str, Any]) -> str:
    """Mean and interval of a score: 73.3 [72.6, 74.1]."""
    if row["low"] is None:
        return percent(row["mean"])
    return f"{percent(row['mean'])} [{percent(row['low'])}, {percent(row['high'])}]"


def difference_interval(row: Mapping[str, Any]) -> str:
    """Mean and interval of a difference: +2.2 [+1.5, +2.9]."""
    if row["low"] is None:
        return points(row["mean"])
    return f"{points(row['mean'])} [{points(row['low'])}, {points(row['high'])}]"


def duration(seconds: float) -> str:
    """Seconds as the two largest units: 42 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


def number(value: float) -> str:
    """A number with four significant digits."""
    return f"{value:.4g}"


def flatten(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Nested JSON as rows (dotted path, value as text). Empty objects and lists of plain values stay one row."""
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

"""Figures of a comparison: rows of its summary → matplotlib figures."""

from collections.abc import Sequence
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unmask.config import JUDGED
from unmask.config.budget import Budget, in_order, labels_in_words, parse_budget
from unmask.config.metric import METRIC_NAMES, SCORES
from unmask.inference.baseline import BEST
from unmask.report.palette import BLUE, GRAY, INK, look
from unmask.report.svg import plot
from unmask.runs.records import Interval
from unmask.runs.summary_records import Difference, Mean


def label_efficiency(means: Sequence[Mean], arms: Sequence[str], budgets: Sequence[Budget]) -> Figure:
    """Accuracy against labels per class, a line per arm, with intervals; rows of one split and metric. Budgets are
    equally spaced, the first arm is on top."""
    ordered = in_order(budgets)
    with plot(grid="y") as (figure, axes):
        for position, arm in reversed(list(enumerate(arms))):
            # Side by side, so that intervals do not hide each other.
            shift = (position - (len(arms) - 1) / 2) * min(0.07, 0.5 / max(len(arms), 1))
            rows = {row.budget: row for row in means if row.arm == arm}
            shown = [budget for budget in ordered if budget in rows]
            for _, line in groupby(shown, key=lambda budget: parse_budget(budget).labels):
                own = list(line)
                x = [ordered.index(budget) + shift for budget in own]
                _line_with_intervals(axes, x, [rows[budget] for budget in own], arm, _scale(means))
        ticks, below = _ticks(ordered)
        axes.set_xticks(range(len(ordered)), ticks)
        axes.set_xlim(-0.5, len(ordered) - 0.5)
        axes.set_xlabel(below)
        axes.set_ylabel(_axis(means))
        axes.set_ylim(*_allowed(axes.get_ylim(), means))
    return figure


def _ticks(budgets: Sequence[Budget]) -> tuple[list[str], str]:
    """The tick label of each budget, and the label of the axis."""
    kinds = {parse_budget(budget).kind for budget in budgets}
    if kinds == {"total"}:
        return [str(budget).removeprefix("total:") for budget in budgets], "labels in all"
    found = [str(budget).replace(":", "\n") for budget in budgets]
    return found, "labels per class" if kinds == {"class"} else "labels"


def arm_dots(means: Sequence[Mean], arms: Sequence[str]) -> Figure:
    """The score of every arm at one budget, with intervals, a row per arm."""
    rows = {row.arm: row for row in means}
    shown = [arm for arm in arms if arm in rows]
    with plot(height=70 + 26 * len(shown), grid="x") as (figure, axes):
        for y, arm in enumerate(shown):
            _dot(axes, y, rows[arm], look(arm).color, look(arm).marker, _scale(means))
        axes.set_yticks(range(len(shown)), [look(arm).title for arm in shown])
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.set_xlabel(_axis(means), loc="right")  # centered, it would end beyond the figure beside long names
        axes.set_xlim(*_allowed(axes.get_xlim(), means))
    return figure


def forest(differences: Sequence[Difference], budgets: Sequence[Budget], smallest_effect: float) -> Figure:
    """Paired differences with intervals, a row per baseline and budget; the band is ± the smallest effect that matters,
    a share. Rows of one split and metric; budgets from the top."""
    places: list[tuple[float, str, Difference]] = []
    y = 0.0
    groups: list[tuple[float, str]] = []
    for budget in budgets:
        rows = [row for row in differences if row.budget == budget]
        if rows:
            groups.append((y, f"{labels_in_words(budget)}"))
            places += [(y + 1 + i, _against(row), row) for i, row in enumerate(rows)]
            y += len(rows) + 1.4
    scale = _scale(differences)
    with plot(height=64 + 21 * y) as (figure, axes):
        axes.axvspan(-scale * smallest_effect, scale * smallest_effect, color=GRAY, alpha=0.18, linewidth=0)
        axes.axvline(0, color=INK, linewidth=0.9)
        for position, _, row in places:
            best = row.baseline == BEST
            _dot(axes, position, row, BLUE if best else look(row.baseline).color, "D" if best else "o", scale)
        axes.set_yticks(
            [position for position, _, _ in places] + [position for position, _ in groups],
            [name for _, name, _ in places] + [name for _, name in groups],
        )
        for label in axes.get_yticklabels()[len(places) :]:
            label.set_fontweight("bold")
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(y - 0.7, -0.7)
        axes.set_xlabel(f"difference of {_metric(differences)}{_unit(differences, 'points')}", loc="right")
    return figure


def _metric(rows: Sequence[Mean] | Sequence[Difference]) -> str:
    """The metric of all rows, in words."""
    return METRIC_NAMES.get(rows[0].metric, rows[0].metric) if rows else METRIC_NAMES["accuracy"]


def _axis(means: Sequence[Mean]) -> str:
    """The metric with its unit."""
    return f"{_metric(means)}{_unit(means, '%')}"


def _unit(rows: Sequence[Mean] | Sequence[Difference], of_shares: str) -> str:
    """The text after the metric: the unit of shares; for a metric with its own unit, its direction."""
    score = SCORES[rows[0].metric] if rows else SCORES["accuracy"]
    return f", {of_shares}" if score.share else " (lower is better)" * score.lower_is_better


def _scale(rows: Sequence[Mean] | Sequence[Difference]) -> float:
    """100 for shares, which are drawn in per cent."""
    return SCORES[rows[0].metric].scale if rows else 100.0


def _allowed(limits: tuple[float, float], rows: Sequence[Mean]) -> tuple[float, float]:
    """Limits of an axis that does not exceed the range of the metric: 0 and 100 per cent."""
    score, scale = SCORES[rows[0].metric] if rows else SCORES["accuracy"], _scale(rows)
    return max(limits[0], scale * score.low), min(limits[1], scale * score.high)


def _against(row: Difference) -> str:
    """The baseline in a few words; a pair without the judged arm names both."""
    if row.baseline == BEST:
        return "Best scratch arm"
    return look(row.baseline).title if row.arm == JUDGED else f"{row.arm} minus {row.baseline}"


def _line_with_intervals(axes: Axes, x: Sequence[float], rows: Sequence[Interval], arm: str, scale: float) -> None:
    seen = look(arm)
    # Not clipped: a marker on the border of the axes, at 100 %, is drawn whole.
    means = [scale * row.mean for row in rows]
    axes.plot(x, means, color=seen.color, marker=seen.marker, linestyle=seen.line, zorder=3, clip_on=False)
    for place, row in zip(x, rows, strict=True):
        if row.low is not None and row.high is not None:
            axes.plot([place] * 2, [scale * row.low, scale * row.high], color=seen.color, linewidth=1.2, alpha=0.8)


def _dot(axes: Axes, y: float, row: Interval, color: str, marker: str, scale: float) -> None:
    if row.low is not None and row.high is not None:
        axes.plot([scale * row.low, scale * row.high], [y, y], color=color, linewidth=2)
    axes.plot([scale * row.mean], [y], color=color, marker=marker, markersize=6, linestyle="none", clip_on=False)

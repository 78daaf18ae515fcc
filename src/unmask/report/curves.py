"""Figures of training: losses and monitors over steps."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from textwrap import fill
from typing import NamedTuple, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from unmask.report.palette import BLUE, GREEN, INK, ORANGE, PURPLE, SKY, VERMILION, look
from unmask.report.svg import plot
from unmask.runs.metrics import Row, TrainingRow, ValidationRow, rows_of

R = TypeVar("R", TrainingRow, ValidationRow)
_COLORS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, INK)
_POINTS = 300
_LINE = 36
"""Characters along the axis."""


class Curve(NamedTuple):
    """A number over steps."""

    steps: NDArray[np.float64]
    values: NDArray[np.float64]


def series(rows: Iterable[R], value: Callable[[R], float | None]) -> Curve:
    """The `value` of the rows over their steps; rows whose value is None are left out."""
    found = [(row.step, number) for row in rows if (number := value(row)) is not None]
    table = np.array(found, dtype=np.float64).reshape(-1, 2)
    return Curve(table[:, 0], table[:, 1])


def training_loss(rows: Iterable[Row]) -> Curve:
    """The logged losses of a training."""
    return series(rows_of(TrainingRow, rows), lambda row: row.loss)


def one_after_the_other(rows: Sequence[TrainingRow], head_steps: int) -> list[TrainingRow]:
    """Rows of a head phase and of the main phase after it, which both count from 1, with steps numbered throughout."""
    return [replace(row, step=row.step + (0 if row.phase == "head" else head_steps)) for row in rows]


def pretraining_loss(runs: Mapping[str, Sequence[Row]]) -> Figure:
    """Reconstruction loss of each run in training (solid), of its baseline (dashed), and on validation (dotted)."""
    with plot(grid="y") as (figure, axes):
        for rows, color in zip(runs.values(), _cycle(len(runs)), strict=True):
            baseline = series(rows_of(TrainingRow, rows), lambda row: row.baseline)
            for curve, line in ((training_loss(rows), "-"), (baseline, "--")):
                axes.plot(*_thin(curve), color=color, linestyle=line, linewidth=1.3)
            looks = series(rows_of(ValidationRow, rows), lambda row: row.val_loss)
            axes.plot(*looks, color=color, marker="o", linestyle=":", linewidth=1)
        _label(axes, "reconstruction loss")
        axes.set_ylim(bottom=0)
    return figure


def monitor(runs: Mapping[str, Curve], title: str, *, boundary: int = 0) -> Figure:
    """One monitored number of each run over steps; a line at the step `boundary` marks the end of the first phase."""
    with plot(grid="y") as (figure, axes):
        if boundary:
            axes.axvline(boundary, color=INK, linewidth=0.8, linestyle=":")
        for (name, curve), color in zip(runs.items(), _cycle(len(runs)), strict=True):
            thin = _thin(curve)
            axes.plot(*thin, color=color, marker="o" if len(thin.steps) < 30 else None, linewidth=1.3, label=name)
        _label(axes, title)
        if all((curve.values >= 0).all() for curve in runs.values()):  # R² may be below
            # Room above in proportion to the values: matplotlib's own is nothing if they hardly change.
            axes.set_ylim(0, 1.05 * max(float(curve.values.max()) for curve in runs.values()) or 1.0)
    return figure


def finetuning(trials: Mapping[str, Sequence[Curve]], title: str, *, scale: float = 1.0) -> Figure:
    """A number of every trial over steps (thin), and the mean of an arm's trials (thick); a `scale` of 100 gives %."""
    with plot(grid="y") as (figure, axes):
        for arm, curves in trials.items():
            seen = look(arm)
            for steps, values in curves:
                axes.plot(steps, scale * values, color=seen.color, alpha=0.25, linewidth=0.7)
            steps, values = _average(curves)
            marker = seen.marker if len(steps) < 12 else None
            axes.plot(steps, scale * values, color=seen.color, linestyle=seen.line, marker=marker)
        _label(axes, title)
    return figure


def _label(axes: Axes, title: str) -> None:
    """Steps below, whole ones; at the side the title, in two lines if one would be longer than the axis."""
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel(fill(title, _LINE))


def colors_of(names: Sequence[str]) -> dict[str, str]:
    """The colors that `pretraining_loss` and `monitor` give to runs of these names, in order."""
    return dict(zip(names, _cycle(len(names)), strict=True))


def _cycle(n: int) -> list[str]:
    return [_COLORS[i % len(_COLORS)] for i in range(n)]


def _thin(curve: Curve) -> Curve:
    """At most 300 points: means over equal runs of neighbors, so that spikes are smoothed, never dropped."""
    if len(curve.steps) <= _POINTS:
        return curve
    groups = np.array_split(np.arange(len(curve.steps)), _POINTS)
    return Curve(*(np.array([numbers[g].mean() for g in groups]) for numbers in curve))


def _average(curves: Sequence[Curve]) -> Curve:
    """Mean of curves over the steps that all of them have."""
    common = sorted(set.intersection(*(set(steps.tolist()) for steps, _ in curves)))
    lookup = [dict(zip(steps.tolist(), values.tolist(), strict=True)) for steps, values in curves]
    return Curve(np.array(common), np.array([np.mean([curve[step] for curve in lookup]) for step in common]))

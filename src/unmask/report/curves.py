"""Figures of training: losses and monitors over steps."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from unmask.report.palette import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, VERMILION, look
from unmask.report.svg import blank, style

Rows = Sequence[Mapping[str, Any]]
_COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, INK)
_POINTS = 300


def pretraining_loss(runs: Mapping[str, Rows]) -> Figure:
    """Reconstruction loss of each run in training (solid), of its baseline (dashed), and on validation (dotted)."""
    with style():
        figure = blank()
        axes = figure.add_subplot()
        for rows, colour in zip(runs.values(), _cycle(len(runs)), strict=True):
            for field, line in (("loss", "-"), ("baseline", "--")):
                steps, values = _thin(*series(rows, field, "train"))
                axes.plot(steps, values, color=colour, linestyle=line, linewidth=1.3)
            steps, values = series(rows, "val_loss")
            axes.plot(steps, values, color=colour, marker="o", linestyle=":", linewidth=1)
        axes.set_xlabel("step")
        axes.set_ylabel("reconstruction loss")
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", color=GREY, alpha=0.25, linewidth=0.8)
    return figure


def monitor(runs: Mapping[str, Rows], field: str, title: str) -> Figure:
    """One monitored number of each run over steps."""
    with style():
        figure = blank()
        axes = figure.add_subplot()
        for (name, rows), colour in zip(runs.items(), _cycle(len(runs)), strict=True):
            steps, values = _thin(*series(rows, field))
            marker = "o" if len(steps) < 30 else None
            axes.plot(steps, values, color=colour, marker=marker, linewidth=1.3, label=name)
        axes.set_xlabel("step")
        axes.set_ylabel(title)
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", color=GREY, alpha=0.25, linewidth=0.8)
    return figure


def finetuning(histories: Mapping[str, Sequence[Rows]], field: str, title: str, *, scale: float = 1.0) -> Figure:
    """A number of every trial over steps (thin), and its mean over the trials of an arm (thick).

    Args:
        histories: per arm, the histories of its trials.
        field: "loss" or "val_accuracy".
        title: label of the vertical axis.
        scale: factor on the values, 100 for per cent.
    """
    with style():
        figure = blank()
        axes = figure.add_subplot()
        for arm, trials in histories.items():
            seen = look(arm)
            curves = [curve for curve in (series(trial, field) for trial in trials) if len(curve[0])]
            for steps, values in curves:
                axes.plot(steps, scale * values, color=seen.colour, alpha=0.25, linewidth=0.7)
            if curves:
                steps, values = _average(curves)
                marker = seen.marker if len(steps) < 12 else None
                axes.plot(steps, scale * values, color=seen.colour, linestyle=seen.line, marker=marker)
        axes.set_xlabel("step")
        axes.set_ylabel(title)
        axes.grid(axis="y", color=GREY, alpha=0.25, linewidth=0.8)
    return figure


def series(rows: Rows, field: str, kind: str | None = None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Steps and values of a field, from the rows that have it (and are of the kind, where one is given)."""
    found = [
        (row["step"], row[field])
        for row in rows
        if row.get(field) is not None and "step" in row and (kind is None or row.get("kind", kind) == kind)
    ]
    table = np.array(found, dtype=np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def colours_of(names: Sequence[str]) -> dict[str, str]:
    """The colours that `pretraining_loss` and `monitor` give to runs of these names, in order."""
    return dict(zip(names, _cycle(len(names)), strict=True))


def _cycle(n: int) -> list[str]:
    return [_COLOURS[i % len(_COLOURS)] for i in range(n)]


def _thin(steps: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """At most 300 points: means over equal runs of neighbours, so that spikes are softened, never dropped."""
    if len(steps) <= _POINTS:
        return steps, values
    groups = np.array_split(np.arange(len(steps)), _POINTS)
    return np.array([steps[g].mean() for g in groups]), np.array([values[g].mean() for g in groups])


def _average(
    curves: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean of curves over the steps that all of them have."""
    common = sorted(set.intersection(*(set(steps.tolist()) for steps, _ in curves)))
    lookup = [dict(zip(steps.tolist(), values.tolist(), strict=True)) for steps, values in curves]
    return np.array(common), np.array([np.mean([curve[step] for curve in lookup]) for step in common])

"""Figures of classes: which gain from pretraining, and which are confused."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from unmask.report.palette import BLUE, INK, VERMILION
from unmask.report.svg import plot
from unmask.runs.records import Interval

_SHOWN = 24


def class_differences(rows: Sequence[tuple[str, Interval]]) -> Figure:
    """Difference of recall per class with its interval, a row per class, largest gain first.

    With more than 24 classes the 12 largest gains and the 12 largest losses are shown.
    """
    ordered = sorted(rows, key=lambda row: -row[1].mean)
    if len(ordered) > _SHOWN:
        ordered = ordered[: _SHOWN // 2] + ordered[-_SHOWN // 2 :]
    with plot(height=60 + 20 * len(ordered)) as (figure, axes):
        axes.axvline(0, color=INK, linewidth=0.9)
        for y, (_, interval) in enumerate(ordered):
            color = BLUE if interval.mean >= 0 else VERMILION
            axes.barh(y, 100 * interval.mean, color=color, alpha=0.55, height=0.62)
            if interval.low is not None and interval.high is not None:
                axes.plot([100 * interval.low, 100 * interval.high], [y, y], color=INK, linewidth=1)
        axes.set_yticks(range(len(ordered)), [shorten(name) for name, _ in ordered])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(ordered) - 0.4, -0.6)
        axes.set_xlabel("difference of recall, points", loc="right")
    return figure


def confusion_map(counts: NDArray[np.float64], classes: Sequence[str]) -> Figure:
    """Shares of each true class (row) by predicted class (column), 0 for a class without images; counts, of this shape,
    are written in if there is room."""
    k, shares = len(classes), counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-9)
    with plot(height=370) as (figure, axes):
        axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
        names = [shorten(name, 12) for name in classes]
        step = -(-k // 20)
        axes.set_xticks(range(0, k, step), names[::step], rotation=90)
        axes.set_yticks(range(0, k, step), names[::step])
        axes.tick_params(length=0)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        for i, j in np.argwhere(counts > 0) if k <= 12 else ():
            color = "#000000" if shares[i, j] > 0.55 else "#ffffff"
            text = f"{counts[i, j]:.0f}" if k > 6 else f"{counts[i, j]:.1f}".removesuffix(".0")
            axes.text(j, i, text, ha="center", va="center", color=color, fontsize=10)
    return figure


def shorten(name: str, length: int = 18) -> str:
    """A name cut to this many characters, with an ellipsis at the end."""
    return name if len(name) <= length else name[: length - 1] + "…"

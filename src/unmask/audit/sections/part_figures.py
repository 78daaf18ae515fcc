"""Pictures of parts and units: which unit responds to which part, and which parts were captured.

The colors (cividis) increase in lightness for all kinds of color vision; captured parts also have a dot.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from unmask.report.classes import shorten
from unmask.report.palette import INK
from unmask.report.svg import blank, plot, style

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

COLORS = "cividis"
_MOST_UNITS = 64
_MOST_LABELS = 24
_ROW = 14
"""Height of a part's row in pixels if there are few parts."""


def sort_units(auroc: Floats, most: int = _MOST_UNITS) -> NDArray[np.int64]:
    """The units with the highest AUROC for any part, in the order of that part, the best first: (U, P) → indices."""
    filled = np.nan_to_num(auroc, nan=0.5)
    best, top = filled.argmax(1), filled.max(1)
    chosen = np.argsort(-top, kind="stable")[:most]
    return chosen[np.lexsort((-top[chosen], best[chosen]))]


def unit_heatmap(auroc: Floats, captured: Bools, names: Sequence[str], classes: int) -> tuple[int, Figure]:
    """Parts × units; returns how many units are shown, and the figure. AUROC (U, P), captured (P,); lines separate
    classes."""
    shown = sort_units(auroc)
    with plot(max(300, 110 + 5.5 * len(shown)), 84 + _height(len(names))) as (figure, axes):
        image = axes.imshow(auroc[shown].T, vmin=0.5, vmax=1, cmap=COLORS, aspect="auto", interpolation="nearest")
        _parts_axis(axes, names, classes, captured)
        axes.set_xlabel("units")
        axes.set_xticks([])
        _bar(figure, axes, image, "AUROC", [0.5, 0.75, 1])
    return len(shown), figure


def part_grid(
    names: Sequence[str],
    classes: int,
    scores: Mapping[str, Floats],
    captured: Mapping[str, Bools],
    alone: Mapping[str, Floats],
) -> Figure:
    """Parts × networks: the best unit's score beside the accuracy on images of that part alone, (P,) each."""
    with style():
        figure = blank(190 + 92 * len(scores), 160 + _height(len(names)))
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, values, low, title in ((left, scores, 0.5, "AUROC"), (right, alone, 0.0, "accuracy")):
            table = np.stack(list(values.values()), 1)
            image = axes.imshow(table, vmin=low, vmax=1, cmap=COLORS, aspect="auto", interpolation="nearest")
            axes.set_xticks(range(len(values)), [shorten(name, 30) for name in values], rotation=40, ha="right")
            _bar(figure, axes, image, title, [low, (low + 1) / 2, 1])
        _parts_axis(left, names, classes)
        _parts_axis(right, names, classes)
        right.tick_params(axis="y", labelleft=False)
        for column, got in enumerate(captured.values()):
            rows = np.flatnonzero(got)  # dots on bright fields: captured means a score near 1
            left.plot([column] * len(rows), rows, "o", color="#000000", markersize=3, linestyle="none")
    return figure


def _height(parts: int) -> float:
    return _ROW * min(parts, _MOST_LABELS) + 3 * max(0, parts - _MOST_LABELS)


def _parts_axis(axes: Axes, names: Sequence[str], classes: int, captured: Bools | None = None) -> None:
    """Names of the parts (some of them if there are many) and lines between the classes."""
    step = -(-len(names) // _MOST_LABELS)
    marks = ["" if captured is None or not captured[i] else " •" for i in range(len(names))]
    axes.set_yticks(range(0, len(names), step), [names[i] + marks[i] for i in range(0, len(names), step)], fontsize=10)
    axes.set_ylabel("part")
    if len(names) <= 2 * _MOST_LABELS:
        for border in range(len(names) // classes, len(names), len(names) // classes):
            axes.axhline(border - 0.5, color="#ffffff", linewidth=1.2)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)


def _bar(figure: Figure, axes: Axes, image: AxesImage, title: str, ticks: list[float]) -> None:
    bar = figure.colorbar(image, ax=axes, location="top", shrink=0.9, aspect=18, pad=0.02, ticks=ticks)
    bar.set_label(title, color=INK)
    bar.outline.set_visible(False)

"""The picture of a sweep, beside its table: the panels of its measure side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unmask.theory.axes import Axis
from unmask.theory.setting import Setting
from unmask.theory.sweep_measures import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_figure(rows: Sequence[Row], measure: str, axes: Sequence[Axis], table: Path, setting: Setting) -> Path:
    """The picture of a table as PNG of the same name; returns its path.

    Args:
        rows: the table.
        measure: what was measured.
        axes: the axes it was swept over; further axes add a line of panels for each of their values.
        table: path of the table.
        setting: the setting that was varied.
    """
    path = table.with_suffix(".png")
    sweep_figure(rows, measure, axes, setting).savefig(path, dpi=120, bbox_inches="tight")
    return path


def sweep_figure(rows: Sequence[Row], measure: str, axes: Sequence[Axis], setting: Setting) -> "Figure":
    """The figure that `write_figure` writes."""
    from unmask.report.svg import blank, style
    from unmask.report.theory.panels import panels_of, split

    kernels = setting.init_scale, setting.scratch_init_scale
    groups = {"": rows} if measure == "phases" else split(rows, axes)
    lines = {name: panels_of(measure, part, axes, kernels) for name, part in groups.items()}
    across = max(len(line) for line in lines.values())
    with style():
        figure = blank(370 * across, 330 * len(lines))
        places = figure.subplots(len(lines), across, squeeze=False)
        for (name, line), along in zip(lines.items(), places, strict=True):
            for panel, place in zip(line, along, strict=True):
                panel.draw(place)
                place.set_title(f"{panel.title}\n{name}" if name else panel.title)
    return figure

"""Panels of the theory laboratory: rows of a sweep → drawings on matplotlib axes, one idea per panel.

A sweep's picture shows the panels side by side, the page shows each as its own figure. Colors of Okabe and Ito;
every line also differs by marker or dash.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import isnan, log10

from matplotlib.axes import Axes

from unmask.report.palette import BLUE, GRAY, INK, ORANGE, PURPLE, SKY, VERMILION
from unmask.report.theory.phase_maps import draw_correlations, draw_phases
from unmask.theory.axes import Axis
from unmask.theory.sweep_measures import Row

WORDS = {
    "mask_ratio": "mask ratio",
    "teacher_scale": "teacher scale τ",
    "labeled_single_share": "training μ: share of single-view samples",
    "labels_per_class": "labels per class",
    "kernels_per_class": "kernels per class, m",
    "missing": "features missing from pretraining",
    "task_classes": "classes of the downstream task (0: all)",
}


@dataclass(frozen=True)
class Look:
    """A line: its columns' prefix, its name in the legend, and how it is drawn."""

    column: str
    name: str
    color: str
    marker: str
    dash: str


LEARNERS = (
    Look("scratch", "SL, all labels", VERMILION, "D", "-"),
    Look("scratch_few", "SL, few labels", ORANGE, "s", "--"),
    Look("fine_tuned", "MRP, fine-tuned", BLUE, "o", "-"),
    Look("probe", "MRP, probe", SKY, "^", "--"),
)
HOLDS = (
    Look("pretrained_holds_seen", "seen, after MRP", BLUE, "o", "-"),
    Look("fine_tuned_holds_seen", "seen, fine-tuned", SKY, "^", "--"),
    Look("pretrained_holds_unseen", "unseen, after MRP", VERMILION, "D", "-"),
    Look("fine_tuned_holds_unseen", "unseen, fine-tuned", ORANGE, "s", "--"),
)
_SHARES = ((ORANGE, "s"), (PURPLE, "^"), (BLUE, "o"), (VERMILION, "D"), (SKY, "v"))


@dataclass(frozen=True)
class Panel:
    """One drawing and its title."""

    title: str
    draw: Callable[[Axes], None]


def panels_of(measure: str, rows: Sequence[Row], axes: Sequence[Axis], init_scale: tuple[float, float]) -> list[Panel]:
    """The panels of a measure's rows. init_scale: σ0 of pretraining and from scratch (for the correlations only)."""
    name = axes[0][0] if axes else ""
    if measure == "phases":
        return [Panel("What grows from small weights", partial(draw_phases, rows=rows, over=axes, words=WORDS))]
    if measure == "correlations":
        return [
            Panel(title, partial(draw_correlations, rows=rows, column=column, unit=unit))
            for title, column, unit in (
                ("MRP, start (in σ0)", "start", init_scale[0]),
                ("MRP, after", "mrp", None),
                ("SL, start (in σ0)", "scratch_start", init_scale[1]),
                ("SL, after", "scratch", None),
            )
        ]
    if measure in ("capture", "purity"):
        return _captures(rows, name)
    if measure == "learners":
        return [_errors(rows, name, kind) for kind in ("multi", "single", "mixed")]
    return [
        *(_errors(rows, name, kind) for kind in ("multi", "single", "single_unseen")),
        Panel("Features of the task that the encoder holds", partial(_lines, rows=rows, name=name, looks=HOLDS)),
    ]


def _captures(rows: Sequence[Row], name: str) -> list[Panel]:
    titles = {
        "coverage": "Share of features captured",
        "purity": "Purity: kernels with exactly one feature",
        "features_per_kernel": "Features of a kernel that holds any",
    }
    over_time = "predicted_coverage" not in rows[0]
    draw = partial(_over_time, rows=rows) if over_time else partial(_by_share, rows=rows, name=name)
    return [Panel(title, partial(draw, column=column)) for column, title in titles.items()]


def _errors(rows: Sequence[Row], name: str, kind: str) -> Panel:
    titles = {
        "multi": "Error on multi-view data",
        "single": "Error on single-view data",
        "mixed": "Error over D",
        "single_unseen": "Single-view, classes with unseen features",
    }
    looks = [Look(f"{one.column}_{kind}", one.name, one.color, one.marker, one.dash) for one in LEARNERS]
    return Panel(titles[kind], partial(_lines, rows=rows, name=name, looks=looks))


def _lines(axes: Axes, rows: Sequence[Row], name: str, looks: Sequence[Look]) -> None:
    """Means over seeds against one parameter, a line per look, with the range over the seeds."""
    values, places = _places(axes, rows, name)
    for shift, one in enumerate(looks):
        points = [[float(r[one.column]) for r in rows if not name or r[name] == value] for value in values]
        points = [[v for v in found if not isnan(v)] for found in points]
        beside = [place + (shift - 1.5) * 0.04 * _gap(places) for place in places]
        means = [_mean(found) for found in points]
        axes.plot(beside, means, color=one.color, marker=one.marker, linestyle=one.dash, label=one.name)
        for place, found in zip(beside, points, strict=True):
            if len(found) > 1:
                axes.plot([place] * 2, [min(found), max(found)], color=one.color, linewidth=1.0)
    _finish(axes)


def _over_time(axes: Axes, rows: Sequence[Row], column: str) -> None:
    """Measured and predicted, a pair of lines per seed."""
    for seed in sorted({int(row["seed"]) for row in rows}):
        mine = [row for row in rows if row["seed"] == seed]
        times = [float(row["time"]) for row in mine]
        label = ("measured", "law, p per feature") if seed == rows[0]["seed"] else ("", "")
        for key, color, dash, marker, name in (
            (f"{column}_law", INK, "--", "", label[1]),
            (column, BLUE, "-", "o", label[0]),
        ):
            axes.plot(times, [float(row[key]) for row in mine], dash, color=color, marker=marker, label=name or None)
    time_axis(axes)
    _finish(axes, bottom=None if column == "features_per_kernel" else -0.04)


def time_axis(axes: Axes) -> None:
    """A logarithmic axis of times, with powers of ten in plain text: the page draws no mathematics."""
    axes.set_xscale("log")
    axes.set_xlabel("time T")
    superscript = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    axes.xaxis.set_major_formatter(lambda value, _: "10" + str(round(log10(value))).translate(superscript))
    axes.xaxis.set_minor_formatter(lambda *_: "")


def _by_share(axes: Axes, rows: Sequence[Row], name: str, column: str) -> None:
    """Measured (solid) and predicted (dashed) against one parameter, a color per predicted coverage."""
    values, places = _places(axes, rows, name)
    for share, (color, marker) in zip(sorted({float(r["predicted_coverage"]) for r in rows}), _SHARES, strict=False):
        mine = [row for row in rows if row["predicted_coverage"] == share]
        for key, dash, fill in ((column, "-", color), (f"{column}_law", "--", "none")):
            means = [_mean([float(r[key]) for r in mine if not name or r[name] == value]) for value in values]
            label = f"T of {share:.1%} coverage" if dash == "-" else None
            axes.plot(places, means, dash, color=color, marker=marker, markerfacecolor=fill, label=label)
    axes.plot([], [], "--", color=GRAY, label="its law")
    _finish(axes, bottom=None if column == "features_per_kernel" else -0.04)


def _places(axes: Axes, rows: Sequence[Row], name: str) -> tuple[list[float], list[float]]:
    """Values of a parameter and their positions: equally spaced if few, else to scale."""
    values = sorted({float(row[name]) for row in rows}) if name else [0.0]
    axes.set_xlabel(WORDS.get(name, name.replace("_", " ")))
    if len(values) > 8:
        return values, values
    axes.set_xticks(range(len(values)), [f"{value:g}" for value in values] if name else ["preset"])
    axes.set_xlim(-0.4, len(values) - 0.6)
    return values, [float(i) for i in range(len(values))]


def _gap(places: Sequence[float]) -> float:
    return (places[-1] - places[0]) / (len(places) - 1) if len(places) > 1 else 1.0


def _finish(axes: Axes, bottom: float | None = -0.04) -> None:
    if bottom is not None:
        axes.set_ylim(bottom, 1.04)
    axes.grid(axis="y", color=GRAY, alpha=0.25, linewidth=0.8)
    axes.legend(fontsize=10, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2)


def _mean(values: Sequence[float]) -> float:
    kept = [v for v in values if not isnan(v)]
    return sum(kept) / len(kept) if kept else float("nan")


def split(rows: Sequence[Row], axes: Sequence[Axis]) -> Mapping[str, Sequence[Row]]:
    """Rows grouped by the values of all axes but the first, and named by them: one line of panels each."""
    names = [name for name, _ in axes[1:]]
    apart: dict[str, list[Row]] = {}
    for row in rows:
        apart.setdefault(", ".join(f"{WORDS.get(n, n)} {row[n]:g}" for n in names), []).append(row)
    return apart

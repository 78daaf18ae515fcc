"""Figures and page of the theory laboratory. matplotlib and jinja2 are imported inside the functions that need them."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from unmask.theory.checks_coverage import coverage_checks, measured_coverage
from unmask.theory.checks_downstream import downstream_checks
from unmask.theory.checks_exact import exact_checks
from unmask.theory.commands import SweepConfig, TheoryReportConfig
from unmask.theory.experiment import Experiment, run_experiment
from unmask.theory.presets import preset
from unmask.theory.setting import require_growth_window
from unmask.theory.sweep import PHASES, Row, parse_axis, phase_row, sweep

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#b8b8b8", "#e8a33d", "#2f7f6f")


def phase_diagram(rows: Sequence[Row]) -> "Figure":
    """Phases over mask ratio × teacher scale, with the predicted boundaries drawn in."""
    figure = _figure(6, 4)
    axes = figure.subplots()
    for index, phase in enumerate(PHASES):
        points = [row for row in rows if row["phase"] == phase]
        axes.scatter(
            [float(r["mask_ratio"]) for r in points],
            [float(r["teacher_scale"]) for r in points],
            c=COLOURS[index],
            s=22,
            marker="s",
            label=phase,
        )
    scales = sorted({float(row["teacher_scale"]) for row in rows})
    for name, style in (("predicted_alone", "-"), ("predicted_together", "--")):
        bound = [next(float(r[name]) for r in rows if r["teacher_scale"] == scale) for scale in scales]
        axes.plot(bound, scales, "k" + style, label=name.replace("_", ": grows "))
    axes.set_xlabel("mask ratio")
    axes.set_ylabel("teacher scale τ")
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def coverage_figure(run: Experiment) -> "Figure":
    """Coverage against time with the simultaneous bands of the law, one curve a number of kernels."""
    times, counts, curve, bands = measured_coverage(run)
    figure = _figure(6, 3.6)
    axes = figure.subplots()
    for i, count in enumerate(counts):
        (line,) = axes.plot(times, curve[:, i], "o-", ms=3, label=f"K = {count}")
        axes.fill_between(times, bands.low[:, i], bands.high[:, i], alpha=0.15, color=line.get_color())
    axes.set_xscale("log")
    axes.set_xlabel("time T")
    axes.set_ylabel("share of features captured")
    axes.legend(fontsize=7)
    return figure


def heat_maps(run: Experiment, seed: int = 0) -> "Figure":
    """Kernels × features before and after, MRP and SL side by side, kernels sorted by their strongest feature."""
    after = run.through.correlation[-1, seed]
    before, scratch = run.through.start[seed], run.scratch_correlation[seed]
    order = after.argmax(1).argsort(stable=True)
    figure = _figure(8, 4)
    panels = (
        ("start", before[order] / run.setting.init_scale),
        ("after MRP", after[order] / run.setting.threshold),
        ("after SL", scratch / run.setting.threshold),
    )
    for axes, (title, values) in zip(figure.subplots(1, 3), panels, strict=True):
        image = axes.imshow(values, aspect="auto", cmap="RdBu_r", vmin=-2, vmax=2)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("feature")
    figure.colorbar(image, ax=figure.axes, shrink=0.7, label="correlation / σ0, / ϱ, / ϱ")
    return figure


def line_figure(rows: Sequence[Row], name: str, columns: Sequence[str]) -> "Figure":
    """Columns against one varied parameter, mean over the rows that share its value."""
    figure = _figure(6, 3.6)
    axes = figure.subplots()
    values = sorted({float(row[name]) for row in rows})
    for column in columns:
        means = [_mean([float(r[column]) for r in rows if r[name] == value]) for value in values]
        axes.plot(values, means, "o-", ms=3, label=column.replace("_", " "))
    axes.set_xlabel(name)
    axes.legend(fontsize=7)
    return figure


def sweep_figure(rows: Sequence[Row], config: SweepConfig) -> Path:
    """The figure that fits a sweep's measure, beside its table; returns its path."""
    axes = [parse_axis(axis)[0] for axis in config.over]
    if config.measure == "phases" and {"mask_ratio", "teacher_scale"} <= set(axes):
        figure = phase_diagram(rows)
    else:
        columns = [c for c in rows[0] if c not in {*axes, "seed", "phase"} and not c.endswith("_time")]
        figure = line_figure(rows, axes[0], columns)
    path = Path(config.out).with_suffix(".png")
    figure.savefig(path, dpi=120, bbox_inches="tight")
    return path


def write_report(config: TheoryReportConfig) -> Path:
    """Run the verdicts and a phase sweep, write one self-contained page."""
    import jinja2

    setting = preset(config.preset)
    require_growth_window(setting)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run = run_experiment(setting, range(config.seeds), config.workers)
        verdicts = [*exact_checks(setting), *coverage_checks(run), *downstream_checks(run, config.workers)]
        grid = [parse_axis("mask_ratio=0:0.9:16"), parse_axis("teacher_scale=1.2:1.8:9")]
        phases = sweep(setting, grid, [0], phase_row, config.workers)
    finally:
        torch.set_num_threads(threads)
    figures = {
        "Phases: what grows from small weights": phase_diagram(phases),
        "Capture against time, with the law's 95 % bands": coverage_figure(run),
        "Kernels × features: MRP and SL": heat_maps(run),
    }
    folder = Path(__file__).parent / "templates"
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(folder), autoescape=True)
    page = environment.get_template("theory.html.j2").render(
        config=config,
        setting=setting,
        verdicts=verdicts,
        figures={title: _embedded(figure) for title, figure in figures.items()},
    )
    out = Path(config.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    return out


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _embedded(figure: "Figure") -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)

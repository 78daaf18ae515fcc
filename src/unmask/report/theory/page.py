"""The page of the theory laboratory, one HTML file, for a reader who knows the paper but not the code."""

from functools import partial
from pathlib import Path

import torch
from matplotlib.axes import Axes

from unmask.config.validation import require_at_least
from unmask.errors import UserError
from unmask.report.blocks import Plate, Section, Table
from unmask.report.html import render_template
from unmask.report.palette import BLUE, INK, SKY
from unmask.report.svg import blank, style
from unmask.report.theory.claim_panels import claim_panels
from unmask.report.theory.findings import Findings, Swept, gather
from unmask.report.theory.panels import Panel, panels_of, time_axis
from unmask.theory.checks_coverage import measured_coverage
from unmask.theory.experiment import Experiment
from unmask.theory.jobs import Told, silent
from unmask.theory.jobs_elsewhere import Elsewhere
from unmask.theory.occupancy import Bands
from unmask.theory.presets import preset
from unmask.theory.setting import Setting, require_growth_window
from unmask.theory.verdict import tally

Curve = tuple[torch.Tensor, list[int], torch.Tensor, Bands]
KINDS = {
    "identity": "Identities: two computations of the same quantity, equal up to rounding",
    "law": "Laws: closed forms, within their stated error",
    "paper": "Paper: claimed by the papers, with their asymptotics; reported as measured in this regime",
    "ours": "Ours: goes beyond the papers",
}
CLAIMS = "The paper's claims, one by one"
TITLES = {
    ("phases", "mask_ratio"): (
        "Phases over mask ratio and teacher scale",
        "Each mark is two runs from small weights: a kernel on one view of a class, and one on all views of it. Lines: "
        "critical mask ratios x = M C_p (τ^q/b - 1), ratio = x/(1 + x), with the moment formula for random strengths.",
    ),
    ("capture", ""): (
        "Capture against time",
        "All kernels read at common times T. The law: every feature is captured independently with p(T) = "
        "Pr(⟨w(0), v⟩ > w*(T)). Captured kernels bind co-occurring features too: coverage lies above it, purity below.",
    ),
    ("purity", "kernels_per_class"): (
        "Purity against the number of kernels per class",
        "Read at the T at which the law predicts the given coverage. More kernels reach full coverage earlier, with "
        "smaller p, so with purer kernels. Filled: measured; empty and dashed: the law.",
    ),
    ("correlations", ""): (
        "Kernels × features, before and after, MRP beside SL",
        "Correlations ⟨w_r, v_f⟩. MRP: kernels sorted by their strongest feature after training. SL: kernels by class, "
        "as the fixed head has them; in the block of a class one view usually stays empty. Red: positive.",
    ),
    ("learners", "labeled_single_share"): (
        "Test error against training μ",
        "All labels: N labeled samples. Few labels: labels_per_class per class, the same samples for SL and MRP. "
        "Labeled data hold the share μ of single-view samples; D mixes the kinds of test data.",
    ),
    ("learners", "labels_per_class"): (
        "Test error against labels per class",
        "SL on all labels does not depend on the axis: it is the level that the few-label learners are compared with.",
    ),
    ("downstream", "task_classes"): (
        "A downstream task that uses part of the pretraining features",
        "The task has the first classes only; pretraining saw all features.",
    ),
    ("downstream", "missing"): (
        "A downstream task with features that pretraining has never seen",
        "Pretraining data lack the first features; the task shows all of them. Fine-tuning trains the encoder too.",
    ),
}


def write_report(out: Path, name: str, seeds: int, told: Told = silent, elsewhere: Elsewhere | None = None) -> Path:
    """Compute the verdicts and sweeps of the preset `name` and write the page; bad arguments are refused first."""
    setting = preset(name)
    require_at_least("seeds", seeds, 1)
    if out.is_dir():
        raise UserError(f"out = {str(out)!r} is a folder: name a file in it")
    require_growth_window(setting)
    out.parent.mkdir(parents=True, exist_ok=True)
    found = gather(setting, seeds, told=told, elsewhere=elsewhere)
    out.write_text(page(name, seeds, found), encoding="utf-8")
    return out


def page(name: str, seeds: int, found: Findings) -> str:
    """The whole page."""
    first = [_claims(found.run), _coverage(measured_coverage(found.run))] if found.run else []
    sections = [*first, *(_section(one, found.setting) for one in found.sweeps)]
    groups = [(text, [v for v in found.verdicts if v.kind == kind]) for kind, text in KINDS.items()]
    return render_template(
        "theory.html.j2",
        preset=name,
        seeds=seeds,
        words=letters(found.setting),
        tally=tally(found.verdicts),
        groups=groups,
        sections=sections,
    )


def letters(setting: Setting) -> Table:
    """The setting in the paper's letters."""
    s, data = setting, setting.data
    rows = [
        ("k, L, F", "classes, views per class, features", f"{data.classes}, {data.views}, {data.features}"),
        (
            "d, P, C_p",
            "patch dimension, patches, patches per feature",
            f"{data.dim}, {data.patches}, {data.patches_per_feature}",
        ),
        ("m, K", "kernels per class, kernels", f"{s.kernels_per_class}, {s.kernels}"),
        ("q, ϱ", "power and threshold of the smoothed ReLU", f"{s.power}, {s.threshold:g}"),
        ("σ0", "start of pretraining; of SL", f"{s.init_scale:g}; {s.scratch_init_scale:g}"),
        (
            "τ, b, 1 - θ",
            "teacher scale, decoder gain, mask ratio",
            f"{s.teacher_scale:g}, {s.gain:g}, {s.mask_ratio:g}",
        ),
        ("B", "gain that a feature alone feels, b (1 + (1-θ)/(θ C_p))", f"{s.effective_gain:.4g}"),
        (
            "N",
            "samples: unlabeled; labeled for SL; labels per class",
            f"{s.samples}; {s.labeled}; {s.labels_per_class}",
        ),
        (
            "s, σ_p, γ",
            "other classes, noise, feature noise",
            f"{data.others:g}, {data.noise:g}, {data.feature_noise:g}",
        ),
        ("ρ, Γ", "faint own view, other views in single-view samples", f"{data.weak}, {data.single_other}"),
    ]
    return Table("The setting, in the letters of the paper", ("letter", "meaning", "value"), rows)


def _section(swept: Swept, setting: Setting) -> Section:
    name = swept.axes[0][0] if swept.axes else ""
    title, intro = TITLES[swept.measure, name]
    seeds = len({row["seed"] for row in swept.rows})
    drawn = "; bars span them" if swept.measure in ("learners", "downstream") else ", each drawn or their mean"
    note = f" {seeds} seeds{drawn}." if seeds > 1 else " One seed."
    panels = panels_of(swept.measure, swept.rows, swept.axes, (setting.init_scale, setting.scratch_init_scale))
    return Section(title=title, intro=intro + note, plates=[_plate(panel) for panel in panels])


def _plate(panel: Panel) -> Plate:
    with style():
        figure = blank(height=310)
        panel.draw(figure.add_subplot())
    return Plate(figure, panel.title, panel.title)


def _claims(run: Experiment) -> Section:
    intro = "Every mark is a kernel, class or feature of the runs behind the verdicts. Head start of a view under SL: "
    intro += "max w_r(0)^(q-2) E Σ z^q over the kernels of its class, relative to that of the class's other view."
    return Section(title=CLAIMS, intro=intro, plates=[_plate(panel) for panel in claim_panels(run)])


def _coverage(curve: Curve) -> Section:
    title = "Coverage over T and K inside the bands of the law"
    intro = "Features that lead some kernel by time T, averaged over the seeds, for the first K kernels. "
    intro += "The band: 99 % of the occupancy law, simultaneously for all T and K."
    panels = [Panel(f"K = {count}", partial(_band, curve=curve, column=i)) for i, count in enumerate(curve[1])]
    return Section(title=title, intro=intro, plates=[_plate(panel) for panel in panels])


def _band(axes: Axes, curve: Curve, column: int) -> None:
    times, _, measured, bands = curve
    low, high = (band[:, column].clamp(0, 1) for band in (bands.low, bands.high))
    axes.fill_between(times, low, high, color=SKY, alpha=0.4, linewidth=0, label="law")
    axes.plot(times, bands.mean[:, column], "--", color=INK, label="its mean")
    axes.plot(times, measured[:, column], color=BLUE, marker="o", linestyle="none", label="measured")
    time_axis(axes)
    axes.set_ylim(-0.04, 1.04)
    axes.set_ylabel("share of features that lead a kernel")
    axes.legend(fontsize=10, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)

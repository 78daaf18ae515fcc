"""Draw the pictures of docs/theory.md with the laboratory's own code.

python docs/tools/theory_pictures.py [FILE ...]    (a minute on one core; writes docs/images)
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unmask.report.theory.claim_panels import draw_kept, draw_lottery, draw_margins, draw_winners
from unmask.theory.binding import binding_time, mask_range
from unmask.theory.capture import capture_level, captured, coverage
from unmask.theory.checks_learners import LAB
from unmask.theory.ensembles import lottery, train_ensemble
from unmask.theory.experiment import Experiment, run_experiment
from unmask.theory.fusing import alike, fused_encoder, mixed
from unmask.theory.jobs import Memo
from unmask.theory.laws import critical_mask_ratio, fixed_point, one_feature
from unmask.theory.occupancy import coverage_bands, covered, reading_time, time_of_full_coverage
from unmask.theory.pixel_form import pretrain_pixels
from unmask.theory.presets import paper_small
from unmask.theory.problem import World, world
from unmask.theory.setting import Setting
from unmask.theory.supervision import error, fine_tune, linear_probe
from unmask.theory.sweep_measures import capture_rows, encoders
from unmask.theory.teacher_student_flow import pretrain
from unmask.theory.unequal_strengths import leader_shares, rates, useful_coverage

IMAGES = Path(__file__).resolve().parents[1] / "images"
STYLE = {"figure.dpi": 110, "font.size": 9, "axes.titlesize": 9, "svg.hashsalt": "unmask", "svg.fonttype": "path"}


def data() -> Figure:
    """Strengths of all features in four multi-view and four single-view samples."""
    w = world(paper_small(), 0)
    rows = [w.test(kind).subset(torch.arange(4)) for kind in (False, True)]
    strength = torch.cat([one.strength.sum(-1) for one in rows]).numpy()
    labels = torch.cat([one.labels for one in rows]).tolist()
    figure, axes = plt.subplots(figsize=(8, 3.1))
    image = axes.imshow(strength, cmap="Blues", vmin=0, vmax=1.2, aspect="auto")
    for i, label in enumerate(labels):
        axes.add_patch(plt.Rectangle((2 * label - 0.5, i - 0.5), 2, 1, fill=False, edgecolor="#d55e00", linewidth=1.8))
    for edge in range(1, 10):
        axes.axvline(2 * edge - 0.5, color="0.8", linewidth=0.6)
    axes.axhline(3.5, color="0.3", linewidth=1.0)
    axes.set_xticks(np.arange(20), [f"{i}.{v}" for i in range(10) for v in (1, 2)], fontsize=7)
    axes.set_yticks(range(8), ["multi-view"] * 4 + ["single-view"] * 4, fontsize=8)
    axes.set_xlabel("feature: class.view; framed: the views of the sample's own class")
    figure.colorbar(image, ax=axes, label="strength z")
    figure.tight_layout()
    return figure


def claims() -> Figure:
    """Coverage over time for several K inside the bands of the law, and what a network from scratch lacks beside it."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.9))
    w = world(paper_small(), 0)
    law, features = one_feature(w.unlabeled(), w.v, w.setting), w.setting.data.features
    full = reading_time([law], w.setting)
    times = torch.logspace(-3, 0, 16, dtype=torch.float64) * full
    first = pretrain([w], full * torch.tensor([1e3]), through_capture=False)
    counts = [features // 2, features, 2 * features, w.setting.kernels]
    curves = covered(first.capture_time[0], first.leader[0], times, counts, features)
    bands = coverage_bands([law], w.setting.init_scale, times, counts)
    for i, (count, color) in enumerate(zip(counts, ("#d55e00", "#e69f00", "#009e73", "#0072b2"), strict=True)):
        left.fill_between(times, bands.low[:, i], bands.high[:, i], color=color, alpha=0.1, linewidth=0)
        left.plot(times, bands.mean[:, i], "--", color=color, linewidth=1.0)
        left.plot(times, curves[:, i], "o-", markersize=3, color=color, label=f"K = {count}")
    left.set(xscale="log", xlabel="time T", ylabel="share of features that lead a kernel", ylim=(-0.02, 1.03))
    w = world(LAB, 0)
    one, members = train_ensemble(w, 8), range(1, 9)
    right.plot(members, [one.error(count, True) for count in members], "o-", color="#d55e00", label="R networks, mean")
    right.plot(members, [one.missing(count) for count in members], "^:", color="#e69f00", label="views that they lack")
    right.plot(members, [lottery(2, count) for count in members], "--", color="0.3", label="$(1 - 1/L)^R$")
    tuned = fine_tune([w], encoders([w], Memo()))
    wrong = error(tuned.weights[0], tuned.head[0], w.test(True), w.setting)
    right.axhline(wrong, color="#0072b2", label="MRP, fine-tuned")
    right.set(xlabel="networks from scratch, R", ylabel="error on single-view data", ylim=(-0.02, 0.6))
    for axis in (left, right):
        axis.legend(fontsize=7)
    figure.tight_layout()
    return figure


@cache
def runs() -> Experiment:
    """Three seeds of six classes, pretrained, fine-tuned and from scratch."""
    return run_experiment(LAB, range(3))


def winners() -> Figure:
    """Which feature a kernel captures, which view SL learns, and that the pixel form captures all."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(9.5, 3.9))
    draw_winners(left, runs())
    draw_lottery(middle, runs())
    legends_below(left, middle)
    s = replace(LAB, mask_ratio=0.5)
    times = torch.logspace(2, np.log10(2400), 12, dtype=torch.float64)
    for seed, color in enumerate(("#0072b2", "#009e73", "#e69f00")):
        held = captured(pretrain_pixels([world(s, seed)], times).correlation[:, 0], s)
        right.plot(times, coverage(held), "o-", markersize=3, color=color, label=f"seed {seed}")
    right.set(xscale="log", xlabel="time T", ylabel="share of features captured", ylim=(-0.02, 1.03))
    right.legend(fontsize=8, frameon=False)
    figure.tight_layout()
    return figure


def finetuned() -> Figure:
    """What fine-tuning keeps, its margins, and what a linear head makes of kernels that hold c classes each."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(9.5, 3.9))
    draw_kept(left, runs())
    draw_margins(middle, runs())
    legends_below(left, middle)
    w, counts = world(LAB, 0), (1, 2, 3, 6)
    for groups, look, color, name in ((alike, "o-", "#d55e00", "fused alike"), (mixed, "s--", "#0072b2", "mixed")):
        held = [count for count in counts if groups is alike or count < LAB.data.classes]
        right.plot(held, [fused_error(w, groups(LAB, count)) for count in held], look, color=color, label=name)
    right.plot(counts, [1 - 1 / count for count in counts], ":", color="0.3", label="1 - 1/c")
    right.set(xlabel="classes per kernel, c", ylabel="error of a linear head", ylim=(-0.03, 1), xticks=counts)
    right.legend(fontsize=8, frameon=False)
    figure.tight_layout()
    return figure


def legends_below(*axes: Axes) -> None:
    """Legends of one column under narrow panels."""
    for one in axes:
        one.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.2))


def fused_error(w: World, classes_of: torch.Tensor) -> float:
    """Test error on multi-view data of a linear head on kernels that hold the classes of their row."""
    probe = linear_probe([w], fused_encoder(w, classes_of))
    return error(probe.weights[0], probe.head[0], w.test(False), w.setting)


def phases() -> Figure:
    """Strength at the fixed point over the mask ratio, for features alone and together, and the three phases."""
    s = paper_small()
    q, rho, tau, gain = s.power, s.threshold, s.teacher_scale, s.gain
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.9))
    alone, pair = (critical_mask_ratio(q, tau, gain, m) for m in (1, 2))
    ratios = np.linspace(0, 0.8, 500)
    for members, color, name in ((1, "#0072b2", "one view alone"), (2, "#e69f00", "both views together")):
        reach = [fixed_point(q, rho, tau, gain * (1 + r / (1 - r) / members)) for r in ratios]
        left.plot(ratios, reach, color=color, label=name)
    for low, high, name in ((0, alone, "alone"), (alone, pair, "only\ntogether"), (pair, 0.8, "dead")):
        left.text(0.5 * (low + high), 0.06, name, ha="center", fontsize=8)
    left.axvline(alone, color="0.5", linestyle="--", linewidth=0.8)
    left.axvline(pair, color="0.5", linestyle="--", linewidth=0.8)
    left.set(xlabel="mask ratio", ylabel="strength at the fixed point a*", ylim=(0, None))
    left.legend(fontsize=7)
    for patches, block, color in ((1, 1, "#0072b2"), (4, 1, "#009e73"), (4, 4, "#d55e00")):
        ends(right, s, patches, block, color)
    right.set(xlabel="mask ratio", ylabel="time T after the first capture", yscale="log", xlim=(0, 1), ylim=(10, 1e5))
    right.legend(fontsize=7, loc="upper center")
    figure.tight_layout()
    return figure


def ends(axes: Axes, s: Setting, patches: int, block: int, color: str) -> None:
    """The time from which a partner view is bound, over the mask ratio, and the upper end."""
    numbers = {"q": s.power, "threshold": s.threshold, "tau": s.teacher_scale, "gain": s.gain}
    more = {"together": 1 / s.data.classes, "patches": patches, "block": block}
    end = capture_level(s)
    _, upper = mask_range(1e6, 0.05, end, **numbers, **more)
    ratios = np.linspace(0.002, upper - 1e-4, 300)
    times = [binding_time(0.05, end, excess=r / (1 - r), **numbers, **more) for r in ratios]
    name = f"$C_p$ = {patches}, blocks of {block}"
    axes.plot(ratios, times, color=color, label=name)
    axes.plot([upper, upper], [times[-1], 1e5], color=color, linestyle="--")


def binding() -> Figure:
    """Features of a kernel over time."""
    figure, axes = plt.subplots(figsize=(5, 2.9))
    (rows,) = capture_rows([world(paper_small(), 0)], 8)
    times = [float(row["time"]) for row in rows]
    axes.plot(times, [row["features_per_kernel"] for row in rows], "o-", color="#0072b2", label="measured")
    axes.plot(times, [row["features_per_kernel_law"] for row in rows], "--", color="0.3", label="law without binding")
    axes.set(xscale="log", xlabel="time T", ylabel="features of a captured kernel")
    axes.legend(fontsize=7)
    figure.tight_layout()
    return figure


def noise() -> Figure:
    """Features of other classes in captured kernels where only noise can have brought them, over the noise."""
    figure, axes = plt.subplots(figsize=(5, 2.9))
    levels = (0.0, 0.005, 0.01, 0.02, 0.05)
    for samples, color, look in ((60, "#d55e00", "o-"), (240, "#0072b2", "s-")):
        name = f"N = {samples}"
        axes.plot(range(len(levels)), [foreign(level, samples) for level in levels], look, color=color, label=name)
    axes.set_xticks(range(len(levels)), [f"{level:g}" for level in levels])
    axes.set(xlabel="noise per coordinate, $\\sigma_p$", ylabel="features of negative start")
    axes.legend(fontsize=7)
    figure.tight_layout()
    return figure


def foreign(level: float, samples: int) -> float:
    """Features of other classes and negative start in a captured kernel, mean, at the T of full coverage.

    Nothing is masked and no sample shows two classes, so without noise such a feature has nothing to grow on.
    """
    s = replace(LAB, data=replace(LAB.data, others=0.0, noise=level), samples=samples, mask_ratio=0.0)
    w = world(s, 0)
    when = reading_time([one_feature(w.unlabeled(), w.v, s)], s)
    done = pretrain([w], torch.tensor([when], dtype=torch.float64))
    leader, kinds = done.leader[0], torch.arange(s.data.features) // s.data.views
    others = kinds != kinds[leader.clamp_min(0)][:, None]
    held = captured(done.correlation[-1, 0], s) & others & (done.start[0] < 0)
    return float(held[leader >= 0].sum(1).double().mean())


def tiny_starts() -> Figure:
    """The two times that decide the purity of a kernel, over the start."""
    figure, axes = plt.subplots(figsize=(5, 2.9))
    s = paper_small()
    numbers = {"q": s.power, "threshold": s.threshold, "tau": s.teacher_scale, "gain": s.gain}
    ratios = np.geomspace(0.02, 0.12, 6)
    cover, bind = [], []
    for ratio in ratios:
        w = world(replace(s, init_scale=float(ratio) * s.threshold, samples=200), 0)
        law = one_feature(w.unlabeled(), w.v, w.setting)
        cover.append(time_of_full_coverage([law], w.setting.init_scale, s.kernels))
        bind.append(
            binding_time(float(ratio) * s.threshold, capture_level(s), excess=s.mask_excess, together=0.1, **numbers)
        )
    axes.plot(ratios, cover, "o-", color="#d55e00", label="full coverage by the law")
    axes.plot(ratios, bind, "s--", color="#009e73", label="binding of a partner of start $\\sigma_0$")
    axes.set(xscale="log", yscale="log", xlabel="start $\\sigma_0$ over $\\varrho$", ylabel="time")
    axes.set_xticks(ratios, [f"{ratio:.2g}" for ratio in ratios])
    axes.minorticks_off()
    axes.legend(fontsize=7)
    figure.tight_layout()
    return figure


def useless() -> Figure:
    """What a useless background takes: its share of the kernels, and the useful features that are left."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.8))
    strengths = np.linspace(0.05, 2.5, 60)
    base = paper_small().data
    with_it = [replace(base, background=float(zeta)) for zeta in strengths]
    shares = [leader_shares(rates(one, 4), 4) for one in with_it]
    left.plot(strengths, [float(share[-1] / share.sum()) for share in shares], color="#d55e00")
    left.set(xlabel="strength of the background", ylabel="share of kernels it leads", ylim=(0, 1))
    for m, color in ((2, "#d55e00"), (4, "#e69f00"), (16, "#009e73"), (64, "#0072b2")):
        right.plot(strengths, [useful_coverage(one, 4, 10 * m) for one in with_it], color=color, label=f"m = {m}")
    right.set(xlabel="strength of the background", ylabel="useful features that lead a kernel", ylim=(0, 1.03))
    right.legend(fontsize=7)
    figure.tight_layout()
    return figure


FIGURES: dict[str, Callable[[], Figure]] = {
    "theory-data.svg": data,
    "theory-claims.svg": claims,
    "theory-winners.svg": winners,
    "theory-finetuned.svg": finetuned,
    "theory-phases.svg": phases,
    "theory-binding.svg": binding,
    "theory-noise.svg": noise,
    "theory-tiny-starts.svg": tiny_starts,
    "theory-useless.svg": useless,
}


def main() -> None:
    """Write all of them, or those named."""
    torch.set_num_threads(1)
    with plt.rc_context(STYLE):
        for name in sys.argv[1:] or FIGURES:
            figure = FIGURES[name]()
            for axis in figure.axes:
                axis.spines[["top", "right"]].set_visible(False)
            figure.savefig(IMAGES / name, metadata={"Date": None})
            plt.close(figure)
            print(IMAGES / name)


if __name__ == "__main__":
    main()

"""Drawings of the paper's claims from one experiment, on matplotlib axes: winners, the lottery of SL, what fine-tuning
keeps, and its margins. Each shows single kernels, classes, features or samples; the verdict has their mean."""

from functools import partial

import torch
from matplotlib.axes import Axes

from unmask.report.palette import BLUE, GRAY, INK, ORANGE, VERMILION
from unmask.report.theory.panels import Panel
from unmask.theory.capture import capture_level
from unmask.theory.checks_downstream import lottery_of_views, margins
from unmask.theory.experiment import Experiment


def claim_panels(run: Experiment) -> list[Panel]:
    """The panels of the page's section on the paper's claims."""
    return [
        Panel("The winner of a kernel is its largest start", partial(draw_winners, run=run)),
        Panel("SL learns the view that starts ahead", partial(draw_lottery, run=run)),
        Panel("Fine-tuning does not lose features", partial(draw_kept, run=run)),
        Panel("Margins of the fine-tuned network", partial(draw_margins, run=run)),
    ]


def draw_winners(axes: Axes, run: Experiment) -> None:
    """Start of the feature that a kernel captured first, against the largest start of its other features, in σ0."""
    first, scale = run.first, run.setting.init_scale
    by_full = first.capture_time <= run.full_time
    leader = first.leader[by_full].clamp_min(0)[:, None]
    start = first.start[by_full].double() / scale
    others = start.scatter(1, leader, -torch.inf).amax(1)
    _points(axes, others, start.gather(1, leader)[:, 0], "a kernel")
    _diagonal(axes, "the largest start wins above it")
    axes.set_xlabel("largest start of the other features, in σ0")
    axes.set_ylabel("start of the first captured, in σ0")
    _legend(axes)


def draw_lottery(axes: Axes, run: Experiment) -> None:
    """The predicted rate at which the two first views of a class take off under SL, relative to their larger one."""
    score, held = lottery_of_views(run)
    score = score[..., :2] / score[..., :2].amax(-1, keepdim=True).clamp_min(1e-300)
    for view, color, marker in ((0, BLUE, "o"), (1, ORANGE, "s")):
        mine = held[..., view] & (held.sum(-1) == 1)
        _points(axes, score[mine][:, 0], score[mine][:, 1], f"learned view {view + 1} alone", color, marker)
    both = held[..., :2].all(-1)
    _points(axes, score[both][:, 0], score[both][:, 1], "learned both", GRAY, "x")
    _diagonal(axes, "equal")
    axes.set_xlabel("head start of view 1")
    axes.set_ylabel("head start of view 2")
    _legend(axes)


def draw_kept(axes: Axes, run: Experiment) -> None:
    """The largest correlation of every feature with any kernel, before fine-tuning and after."""
    before = run.through.correlation[-1].amax(1).flatten().double()
    after = torch.stack([w @ one.v.T for w, one in zip(run.tuned.weights, run.worlds, strict=True)])
    _points(axes, before, after.amax(1).flatten().double(), "a feature")
    level = capture_level(run.setting)
    for line in (axes.axhline, axes.axvline):
        line(level, color=INK, linestyle="--", linewidth=1.0)
    axes.plot([], [], "--", color=INK, label="captured from here on")
    axes.set_xlim(0, None)
    axes.set_ylim(0, None)
    axes.set_xlabel("largest ⟨w, v⟩ before fine-tuning")
    axes.set_ylabel("largest ⟨w, v⟩ after")
    _legend(axes)


def draw_margins(axes: Axes, run: Experiment) -> None:
    """Share of test samples by largest margin, in units of ln k."""
    for single, name, color, dash in ((False, "multi-view", BLUE, "-"), (True, "single-view", VERMILION, "--")):
        found = margins(run, single).sort().values
        share = torch.arange(1, len(found) + 1, dtype=torch.float64) / len(found)
        axes.plot(found.tolist(), share.tolist(), dash, color=color, label=f"{name} samples")
    axes.axvline(1.0, color=GRAY, linewidth=1.0, label="ln k")
    axes.set_xlim(min(0.0, axes.get_xlim()[0]), None)
    axes.set_xlabel("margin of the right class, over ln k")
    axes.set_ylabel("share of test samples")
    _legend(axes)


def _points(axes: Axes, x: torch.Tensor, y: torch.Tensor, name: str, color: str = BLUE, marker: str = "o") -> None:
    axes.plot(x.tolist(), y.tolist(), marker, markersize=4, alpha=0.7, color=color, label=name)


def _diagonal(axes: Axes, name: str) -> None:
    limits = (*axes.get_xlim(), *axes.get_ylim())
    ends = [min(limits), max(limits)]
    axes.plot(ends, ends, "--", color=INK, linewidth=1.0, label=name)


def _legend(axes: Axes) -> None:
    axes.legend(fontsize=10, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)

"""What a sweep measures at one point for one seed: a world → rows of a tidy table. All rows of one measure have the
same columns; what does not exist at a point is NaN.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import inf, nan

import torch
from torch import Tensor

from unmask.theory.capture import captured, coverage, features_per_kernel, purity
from unmask.theory.checks_exact import grows
from unmask.theory.jobs import Memo
from unmask.theory.laws import OneFeature, critical_mask_ratio, kernel_law, one_feature, support_of
from unmask.theory.occupancy import reading_time, time_of_full_coverage
from unmask.theory.problem import World
from unmask.theory.setting import Setting
from unmask.theory.supervision import Supervised, train_from_scratch
from unmask.theory.teacher_student_flow import pretrain

Row = dict[str, float | int | str]
PHASES = ("dead", "grows only together", "grows alone")
SHARES = (0.5, 0.9, 0.999)
"""Predicted coverages at whose times `purity_rows` reads the kernels."""


def phase_rows(w: World) -> list[Row]:
    """Phase of one view alone and of all views of a class together, from small weights; predicted boundaries.

    "dead" is said of the views of one class: where features of other classes are as strong as those, all features of a
    sample together may still grow.
    """
    s = w.setting
    q, tau, b = s.power, s.teacher_scale, s.gain
    samples = w.unlabeled()
    alone, together = grows(s, w, 1), grows(s, w, s.data.views)
    support = {m: support_of(samples, torch.arange(m), q) for m in (1, s.data.views)}
    return [
        {
            "phase": PHASES[2 if alone else 1 if together else 0],
            "stays_finite": int(b > tau),
            "predicted_alone": critical_mask_ratio(q, tau, b, support[1]),
            "predicted_together": critical_mask_ratio(q, tau, b, support[s.data.views]),
        }
    ]


def capture_rows(w: World, points: int = 10) -> list[Row]:
    """Coverage, purity and features per kernel over time, from 5 % to 99.9 % predicted coverage, beside their laws."""
    law = one_feature(w.unlabeled(), w.v, w.setting)
    early, full = (_when(law, w.setting, share) for share in (0.05, 0.999))
    if full == inf:
        return _read(w, law, [nan] * points)
    times = torch.logspace(0, 1, points, base=full / early, dtype=torch.float64) * early
    return _read(w, law, times.tolist())


def purity_rows(w: World, shares: Sequence[float] = SHARES) -> list[Row]:
    """The same at the times at which the law predicts the coverages `shares`, one row a share."""
    law = one_feature(w.unlabeled(), w.v, w.setting)
    times = [_when(law, w.setting, share) for share in shares]
    rows = _read(w, law, times if times[-1] < inf else [nan] * len(times))
    return [{"predicted_coverage": share, **row} for share, row in zip(shares, rows, strict=True)]


def _when(law: OneFeature, s: Setting, share: float) -> float:
    return time_of_full_coverage([law], s.init_scale, s.kernels, share, s.missing)


def _read(w: World, law: OneFeature, times: Sequence[float]) -> list[Row]:
    """A row a time; NaN times stand for "never": nothing is captured there."""
    s = w.setting
    names = ("purity", "purity_law", "features_per_kernel", "features_per_kernel_law")
    if times[0] != times[0]:
        return [{"time": t, "coverage": 0.0, "coverage_law": 0.0, **dict.fromkeys(names, nan)} for t in times]
    held = captured(pretrain([w], torch.tensor(times, dtype=torch.float64)).correlation[:, 0], s)
    rows: list[Row] = []
    for now, when in zip(held, times, strict=True):
        number, pure = kernel_law(law, when, s.init_scale)
        values = (float(purity(now)), pure, float(features_per_kernel(now)), number)
        chance = 1 - (1 - law.chance(when, s.init_scale)) ** s.kernels
        first: Row = {"time": when, "coverage": float(coverage(now)), "coverage_law": float(chance.mean())}
        rows.append({**first, **dict(zip(names, values, strict=True))})
    return rows


def correlation_rows(w: World, memo: Memo) -> list[Row]:
    """⟨w_r, v_f⟩ of every kernel and feature: at the start and after MRP, at the start and after SL."""
    mrp, scratch = encoder(w, memo)[0], from_scratch(w, w, memo).weights[0]
    columns = (("start", w.start), ("mrp", mrp), ("scratch_start", w.scratch_start), ("scratch", scratch))
    matrices = {name: (weights @ w.v.T).tolist() for name, weights in columns}
    return [
        {"kernel": r, "feature": f, **{name: matrix[r][f] for name, matrix in matrices.items()}}
        for r in range(w.setting.kernels)
        for f in range(w.setting.data.features)
    ]


def encoder(w: World, memo: Memo) -> Tensor:
    """The encoder that sweeps fine-tune: all kernels at their common reading time; (1, K, d)."""

    def make() -> Tensor:
        when = reading_time([one_feature(w.unlabeled(), w.v, w.setting)], w.setting)
        return pretrain([w], torch.tensor([when], dtype=torch.float64)).weights[-1]

    same = replace(
        w.setting, labeled=1, labeled_single_share=0.0, labels_per_class=1, scratch_init_scale=1.0, stop_loss=1.0,
        task_classes=0, task_views=0,
    )  # fmt: skip
    return memo.get(("encoder", _tested(same), w.seed, w.dtype), make)


def from_scratch(w: World, task: World, memo: Memo) -> Supervised:
    """SL on the labeled samples of `task`, the downstream world of w; points that differ in pretraining share it."""
    same = replace(w.setting, labels_per_class=1, missing=0, mask_ratio=0.0, teacher_scale=1.0, gain=1.0, samples=1)
    return memo.get(("scratch", _tested(same), w.seed, w.dtype), lambda: train_from_scratch([task]))


def _tested(setting: Setting) -> Setting:
    """The setting without what only tests depend on."""
    return replace(setting, test_samples=1, test_single_share=0.0)

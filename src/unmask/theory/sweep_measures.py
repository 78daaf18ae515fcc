"""What a sweep measures at one point: the worlds of all seeds → the rows of a tidy table of each. All seeds of a point
are pretrained as one batch and read at common times, those of the mean of their laws. All rows of one measure have the
same columns; values that do not exist at a point are NaN.
"""

from collections.abc import Hashable, Sequence
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


def phase_rows(worlds: Sequence[World]) -> list[list[Row]]:
    """Phase of one view alone and of all views of a class together, from small weights; predicted boundaries.

    "dead" refers to the views of one class: if features of other classes are as strong as those, all features of a
    sample together may still grow.
    """
    s = worlds[0].setting
    q, tau, b = s.power, s.teacher_scale, s.gain
    groups = (1, s.data.views)
    rows: list[list[Row]] = []
    for w, (alone, together) in zip(worlds, grows(worlds, groups).tolist(), strict=True):
        samples = w.unlabeled()
        ends = [critical_mask_ratio(q, tau, b, support_of(samples, torch.arange(m), q)) for m in groups]
        row: Row = {"phase": PHASES[2 if alone else 1 if together else 0], "stays_finite": int(b > tau)}
        rows.append([{**row, "predicted_alone": ends[0], "predicted_together": ends[1]}])
    return rows


def capture_rows(worlds: Sequence[World], points: int = 10) -> list[list[Row]]:
    """Coverage, purity and features per kernel over time, from 5 % to 99.9 % predicted coverage, beside their laws."""
    laws = _laws(worlds)
    early, full = (_when(laws, worlds[0].setting, share) for share in (0.05, 0.999))
    if full == inf:
        return _read(worlds, laws, [nan] * points)
    times = torch.logspace(0, 1, points, base=full / early, dtype=torch.float64) * early
    return _read(worlds, laws, times.tolist())


def purity_rows(worlds: Sequence[World], shares: Sequence[float] = SHARES) -> list[list[Row]]:
    """The same at the times at which the law predicts the coverages `shares`, one row per share."""
    laws = _laws(worlds)
    times = [_when(laws, worlds[0].setting, share) for share in shares]
    batch = _read(worlds, laws, times if times[-1] < inf else [nan] * len(times))
    return [[{"predicted_coverage": share, **row} for share, row in zip(shares, rows, strict=True)] for rows in batch]


def _laws(worlds: Sequence[World]) -> list[OneFeature]:
    return [one_feature(w.unlabeled(), w.v, w.setting) for w in worlds]


def _when(laws: Sequence[OneFeature], s: Setting, share: float) -> float:
    return time_of_full_coverage(laws, s.init_scale, s.kernels, share, s.missing)


READ = ("purity", "purity_law", "features_per_kernel", "features_per_kernel_law")


def _read(worlds: Sequence[World], laws: Sequence[OneFeature], times: Sequence[float]) -> list[list[Row]]:
    """One row per time for each world; NaN times mean "never": nothing is captured there."""
    if times[0] != times[0]:
        never: Row = {"coverage": 0.0, "coverage_law": 0.0, **dict.fromkeys(READ, nan)}
        return [[{"time": t, **never} for t in times] for _ in worlds]
    setting = worlds[0].setting
    held = captured(pretrain(worlds, torch.tensor(times, dtype=torch.float64)).correlation, setting)
    return [_beside_law(held[:, i], law, times, setting) for i, law in enumerate(laws)]


def _beside_law(held: Tensor, law: OneFeature, times: Sequence[float], s: Setting) -> list[Row]:
    """Captured features (M, K, F) of one seed at M times, beside the law of that seed."""
    rows: list[Row] = []
    for now, when in zip(held, times, strict=True):
        number, pure = kernel_law(law, when, s.init_scale)
        values = (float(purity(now)), pure, float(features_per_kernel(now)), number)
        chance = 1 - (1 - law.chance(when, s.init_scale)) ** s.kernels
        first: Row = {"time": when, "coverage": float(coverage(now)), "coverage_law": float(chance.mean())}
        rows.append({**first, **dict(zip(READ, values, strict=True))})
    return rows


def correlation_rows(worlds: Sequence[World], memo: Memo) -> list[list[Row]]:
    """⟨w_r, v_f⟩ of every kernel and feature: at the start and after MRP, at the start and after SL."""
    trained = zip(worlds, encoders(worlds, memo), from_scratch(worlds, worlds, memo).weights, strict=True)
    rows: list[list[Row]] = []
    for w, mrp, scratch in trained:
        columns = (("start", w.start), ("mrp", mrp), ("scratch_start", w.scratch_start), ("scratch", scratch))
        matrices = {name: (weights @ w.v.T).tolist() for name, weights in columns}
        rows.append(
            [
                {"kernel": r, "feature": f, **{name: matrix[r][f] for name, matrix in matrices.items()}}
                for r in range(w.setting.kernels)
                for f in range(w.setting.data.features)
            ]
        )
    return rows


def encoders(worlds: Sequence[World], memo: Memo) -> Tensor:
    """The encoders that sweeps fine-tune: all kernels of all seeds at their common reading time; (S, K, d)."""

    def make() -> Tensor:
        when = reading_time(_laws(worlds), worlds[0].setting)
        return pretrain(worlds, torch.tensor([when], dtype=torch.float64)).weights[-1]

    same = replace(
        worlds[0].setting, labeled=1, labeled_single_share=0.0, labels_per_class=1, scratch_init_scale=1.0,
        stop_loss=1.0, task_classes=0, task_views=0,
    )  # fmt: skip
    return memo.get(("encoder", *_key(same, worlds)), make)


def from_scratch(worlds: Sequence[World], tasks: Sequence[World], memo: Memo) -> Supervised:
    """SL on the labeled samples of `tasks`, the downstream worlds; points that differ in pretraining share it."""
    same = replace(
        worlds[0].setting, labels_per_class=1, missing=0, mask_ratio=0.0, teacher_scale=1.0, gain=1.0, samples=1
    )
    return memo.get(("scratch", *_key(same, worlds)), lambda: train_from_scratch(tasks))


def _key(same: Setting, worlds: Sequence[World]) -> tuple[Hashable, ...]:
    return _tested(same), tuple(w.seed for w in worlds), worlds[0].dtype


def _tested(setting: Setting) -> Setting:
    """The setting without fields that matter only for test data."""
    return replace(setting, test_samples=1, test_single_share=0.0)

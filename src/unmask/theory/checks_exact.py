"""Verdicts on what follows from the equations alone: gradients, decoupling, fixed points, windows and phases."""

import itertools
from dataclasses import replace

import torch

from unmask.theory.distribution import Distribution
from unmask.theory.laws import critical_mask_ratio, fixed_point, support_of
from unmask.theory.problem import World, world
from unmask.theory.sampling import generator
from unmask.theory.setting import Setting
from unmask.theory.teacher_student_flow import pretrain
from unmask.theory.teacher_student_loss import Objective, force, loss, sampled_force
from unmask.theory.verdict import Verdict

FIXED_POINTS = (
    # q, τ, b, mask ratio, C_p: the first four on the linear branch, the next on the intermediate one
    (4, 1.4, 2.0, 0.1, 1),
    (3, 1.6, 2.0, 0.1, 1),
    (4, 1.4, 1.8, 0.3, 2),
    (5, 1.3, 1.8, 0.2, 3),
    (4, 1.4, 2.0, 0.3, 1),
    (3, 1.6, 2.5, 0.2, 1),
    (4, 1.5, 2.6, 0.5, 2),
    (5, 1.3, 2.2, 0.3, 2),
    (4, 1.8, 2.0, 0.0, 1),  # far up on the linear branch, a* = 3.75 ϱ
)


def exact_checks(setting: Setting, dtype: torch.dtype = torch.float32) -> list[Verdict]:
    """All checks of this file. Those on the preset's own data use its seed 0; dtype is that of the phases."""
    return [
        gradient_check(setting),
        mask_integral_check(setting),
        decoupling_check(setting),
        fixed_point_check(),
        growth_window_check(),
        *phase_checks(setting, dtype),
    ]


def gradient_check(setting: Setting) -> Verdict:
    """Closed-form force against autograd of the loss, float64, weights on all branches of σ."""
    w = world(setting, 0, torch.float64)
    x, obj = w.unlabeled().x[:100], Objective.of(setting)
    scale = (
        torch.logspace(-1, 0.3, setting.kernels, dtype=torch.float64)[:, None] * setting.threshold / setting.init_scale
    )
    weights = (w.start * scale).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(weights, x, obj).sum(), weights)
    off = float((force(weights.detach(), x, obj) + gradient).norm() / gradient.norm())
    claim = "closed-form MRP gradient equals autograd (relative error, float64)"
    return Verdict(claim=claim, kind="proven", measured=off, predicted=0.0, low=0.0, high=1e-10, n=setting.kernels)


def mask_integral_check(setting: Setting, draws: int = 400, blocks: int = 16) -> Verdict:
    """Mean force of drawn masks against the integrated one: root mean square z-score, 1 for an unbiased estimate.

    The coordinates of all kernels share the masks of a few strong patches: one block of samples adds a few degrees of
    freedom only. So there are several, each with 8 kernels, 20 samples and masks of its own.
    """
    s = replace(setting, mask_ratio=max(setting.mask_ratio, 0.3), samples=20 * blocks)
    w = world(s, 0, torch.float64)
    obj, gen = Objective.of(s), generator(0, "masks")
    kernels = (w.start * (s.threshold / s.init_scale)).split(8)
    squares = []
    for i, x in enumerate(w.unlabeled().x.split(20)):
        weights = kernels[i % len(kernels)]
        drawn = torch.stack([sampled_force(weights, x, obj, gen) for _ in range(draws)])
        z = (drawn.mean(0) - force(weights, x, obj)) / (drawn.std(0) / draws**0.5).clamp_min(1e-300)
        squares.append(z.square().mean())
    claim = "sampled masks average to the integrated gradient (rms z-score over coordinates)"
    measured = float(torch.stack(squares).mean().sqrt())
    return Verdict(claim=claim, kind="proven", measured=measured, predicted=1.0, low=0.7, high=1.3, n=blocks * draws)


def decoupling_check(setting: Setting, kernels: int = 6) -> Verdict:
    """Trajectories of a few kernels followed alone and among others."""
    s = replace(setting, kernels_per_class=1)
    w = world(s, 0, torch.float64)
    w = replace(w, start=w.start * 2.0)
    times = torch.logspace(1, 3, 4, dtype=torch.float64)
    together = pretrain([w], times).weights[:, 0]
    off = 0.0
    for r in range(min(kernels, s.kernels)):
        path = pretrain([replace(w, start=w.start[r : r + 1])], times).weights[:, 0, 0]
        off = max(off, float((path - together[:, r]).abs().max() / together[:, r].abs().max()))
    claim = "a kernel's trajectory does not depend on the other kernels (relative difference)"
    return Verdict(claim=claim, kind="proven", measured=off, predicted=0.0, low=0.0, high=1e-6, n=kernels)


def fixed_point_check() -> Verdict:
    """a* from small weights on fixed, equal patches, both branches: largest relative error over the configurations."""
    off = 0.0
    for q, tau, gain, ratio, patches in FIXED_POINTS:
        s = _plain(patches, power=q, teacher_scale=tau, gain=gain, mask_ratio=ratio)
        w = world(s, 0, torch.float64)
        w = replace(w, start=0.1 * w.v[:1])
        reached = float(pretrain([w], torch.tensor([1e8])).correlation[-1, 0, 0, 0])
        predicted = fixed_point(q, s.threshold, tau, s.effective_gain)
        off = max(off, abs(reached / predicted - 1))
    claim = "fixed point of one feature alone in both branches, over q, tau, b, mask ratio, C_p (relative error)"
    return Verdict(
        claim=claim,
        kind="proven",
        measured=off,
        predicted=0.0,
        low=0.0,
        high=0.01,
        n=len(FIXED_POINTS),
        regime="fixed equal patches",
    )


def growth_window_check() -> Verdict:
    """Sign of the force at a → 0 (grows iff B < τ^q) and at a → ∞ (finite iff B > τ) for one feature and for two that
    occur together, on a grid that includes both sides.
    """
    right = total = 0
    grid = itertools.product((3, 4, 5), (1.2, 1.5, 1.9), (0.8, 1.1, 1.6, 2.4, 4.0, 9.0), ((0.0, 1), (0.4, 2)), (1, 2))
    for q, tau, gain, (ratio, patches), members in grid:
        s = _plain(patches, power=q, teacher_scale=tau, gain=gain, mask_ratio=ratio)
        w = world(s, 0, torch.float64)
        sizes = torch.tensor([1e-3, 1e3], dtype=torch.float64)[:, None] * s.threshold
        pull = force(sizes * w.v[:members].sum(0), w.unlabeled().x, Objective.of(s)) @ w.v[0]
        common = gain * (1 + s.mask_excess / (members * patches))
        right += sum(bool(p > 0) == e for p, e in zip(pull, (common < tau**q, common < tau), strict=True))
        total += 2
    claim = (
        "growth window of M = 1, 2 features together: grow from small weights iff B < tau^q, stay finite iff B > tau, "
        "B = b (1 + x/(M C_p)) (share of signs right)"
    )
    return Verdict(claim=claim, kind="proven", measured=right / total, predicted=1.0, low=1.0, high=1.0, n=total)


def phase_checks(setting: Setting, dtype: torch.dtype = torch.float32) -> list[Verdict]:
    """Critical mask ratios by bisection: one feature, then the L views of a class; equal, then random strengths."""
    verdicts = []
    q, tau, b = setting.power, setting.teacher_scale, setting.gain
    for members, name in ((1, "alone"), (setting.data.views, "together")):
        off, n = 0.0, 0
        for patches in (1, 2):
            s = _plain(patches, power=q, teacher_scale=tau, gain=b)
            predicted = critical_mask_ratio(q, tau, b, members * patches)
            off, n = max(off, abs(bisect_mask_ratio(s, members, dtype) - predicted)), n + 1
        verdicts.append(
            _phase(f"critical mask ratio, features grow {name}, equal patches, C_p = 1, 2", off, n, "proven")
        )
    random = replace(setting, missing=0)
    support = support_of(world(random, 0).unlabeled(), torch.arange(setting.data.views), q)
    off = abs(bisect_mask_ratio(random, setting.data.views, dtype) - critical_mask_ratio(q, tau, b, support))
    verdicts.append(
        _phase("critical mask ratio, views together, the preset's random strengths (moment formula)", off, 1, "ours")
    )
    return verdicts


def bisect_mask_ratio(setting: Setting, members: int, dtype: torch.dtype = torch.float32, rounds: int = 8) -> float:
    """Largest mask ratio at which a kernel that starts on `members` views of class 0, equally, is captured."""
    base = world(setting, 0, dtype)
    low, high = 0.0, 0.98
    for _ in range(rounds):
        ratio = 0.5 * (low + high)
        low, high = (ratio, high) if grows(replace(setting, mask_ratio=ratio), base, members) else (low, ratio)
    return 0.5 * (low + high)


def grows(setting: Setting, base: World, members: int) -> bool:
    """Whether a kernel on `members` views of class 0 with correlation 0.1 ϱ each is captured rather than dies."""
    start = 0.1 * setting.threshold * base.v[:members].sum(0, keepdim=True)
    followed = pretrain([replace(base, setting=setting, start=start)], torch.tensor([1e12]), through_capture=False)
    return bool(followed.capture_time.isfinite().all())


def _phase(claim: str, off: float, n: int, kind: str) -> Verdict:
    return Verdict(
        claim=claim + " (largest absolute error)",
        kind="proven" if kind == "proven" else "ours",
        measured=off,
        predicted=0.0,
        low=0.0,
        high=0.03,
        n=n,
    )


def _plain(patches: int, **changes: float) -> Setting:
    """Two classes, nothing but their own views at strength 1 on each patch, no noise: the exactly solvable case."""
    data = Distribution(
        classes=2,
        dim=4,
        patches=2 * patches,
        patches_per_feature=patches,
        others=0.0,
        own=(float(patches), float(patches)),
        noise=0.0,
        equal_patches=True,
    )
    return Setting(data=data, kernels_per_class=1, samples=24, **changes)  # type: ignore[arg-type]

"""Verdicts on what follows from the equations alone: gradients, decoupling, fixed points, windows and phases."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from unmask.errors import UserError
from unmask.theory.capture import capture_level, own_strength
from unmask.theory.distribution import Distribution
from unmask.theory.laws import critical_mask_ratio, fixed_point, support_of
from unmask.theory.network import activation, slope
from unmask.theory.pixel_form import pixel_force, pixel_loss
from unmask.theory.problem import World, world
from unmask.theory.sampling import generator
from unmask.theory.setting import Setting
from unmask.theory.supervision import supervised_force
from unmask.theory.teacher_student_flow import pretrain
from unmask.theory.teacher_student_loss import Objective, force, loss, sampled_force
from unmask.theory.verdict import Kind, Verdict, attempt, identity

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


HIGHEST = 0.97
"""Critical mask ratios above this are not bisected: nearly everything is hidden, and b is near τ or below."""


def exact_checks(setting: Setting, dtype: torch.dtype = torch.float32, seed: int = 0) -> list[Verdict]:
    """All checks of this file. `seed` draws data and masks for those that need them; dtype is that of the phases."""
    return [
        *attempt("the activation", lambda: [activation_check()]),
        *attempt("the capture level", lambda: [capture_level_check(setting)]),
        *attempt("the gradient of pretraining", lambda: [gradient_check(setting, seed)]),
        *attempt("the gradient of supervised training", lambda: [supervised_gradient_check(setting, seed)]),
        *attempt("the gradient of the pixel form", lambda: [pixel_gradient_check(seed)]),
        *attempt("the mask's integral", lambda: [mask_integral_check(setting, seed)]),
        *attempt("the path of one kernel", lambda: [decoupling_check(setting, seed)]),
        *attempt("the fixed point", lambda: [fixed_point_check()]),
        *attempt("the growth window", lambda: [growth_window_check()]),
        *attempt("the critical mask ratio", lambda: phase_checks(setting, dtype)),
    ]


def activation_check() -> Verdict:
    """σ and σ' against the three branches as the papers write them, and σ' against finite differences of σ."""
    off, rho = 0.0, 0.7
    z = torch.linspace(-1.0, 3.0, 801, dtype=torch.float64) * rho
    for q in (2, 3, 4, 5):
        low, high = z.clamp_min(0.0) ** q / (q * rho ** (q - 1)), z - (1 - 1 / q) * rho
        written = torch.where(z > rho, high, low)
        rise = torch.where(z > rho, 1.0, z.clamp_min(0.0) ** (q - 1) / rho ** (q - 1))
        step = 1e-6
        numeric = (activation(z + step, q, rho) - activation(z - step, q, rho)) / (2 * step)
        gaps = (activation(z, q, rho) - written, slope(z, q, rho) - rise, 1e-6 * (numeric - rise))
        off = max(off, *(float(gap.abs().max()) for gap in gaps))
    claim = "smoothed ReLU and its slope equal their branches, and the slope is the derivative (largest difference)"
    return identity(claim, off, 1e-10, 4, "Allen-Zhu & Li 2020, smoothed ReLU")


def capture_level_check(setting: Setting) -> Verdict:
    """The capture level against half of the smallest fixed point, found at the edge B → τ^q of the growth window."""
    q, tau = setting.power, max(setting.teacher_scale, 1.0 + 1e-3)
    smallest = fixed_point(q, setting.threshold, tau, tau**q * (1 - 1e-9))
    off = abs(capture_level(setting) * own_strength(setting) / (0.5 * smallest) - 1)
    claim = "capture level is half of the smallest fixed point there is (relative error)"
    return identity(claim, off, 2e-3, 1, "laws.py, first order transition")


def supervised_gradient_check(setting: Setting, seed: int = 0) -> Verdict:
    """Closed-form force of supervised training against autograd of cross-entropy written out, encoder and head."""
    w = world(setting, seed, torch.float64)
    data, q, rho = w.few(), setting.power, setting.threshold
    draw = torch.randn(setting.data.classes, setting.kernels, generator=generator(seed, "head"), dtype=torch.float64)
    weights = (w.start * (setting.threshold / setting.init_scale)).requires_grad_()
    head = (0.1 * draw).requires_grad_()
    logits = activation(data.x @ weights.T, q, rho).sum(1) @ head.T
    loss_ = -torch.log_softmax(logits, 1)[torch.arange(len(data.labels)), data.labels].mean()
    expected = torch.autograd.grad(loss_, (weights, head))
    found = supervised_force(weights.detach(), head.detach(), data, q, rho)
    off = max(float((f + e).norm() / e.norm()) for f, e in zip(found, expected, strict=True))
    claim = "closed-form gradient of cross-entropy equals autograd, encoder and head (relative error, float64)"
    return identity(claim, off, 1e-10, setting.kernels, "supervision.py")


def gradient_check(setting: Setting, seed: int = 0) -> Verdict:
    """Closed-form force against autograd of the loss, float64, weights on all branches of σ."""
    w = world(setting, seed, torch.float64)
    x, obj = w.unlabeled().x[:100], Objective.of(setting)
    scale = (
        torch.logspace(-1, 0.3, setting.kernels, dtype=torch.float64)[:, None] * setting.threshold / setting.init_scale
    )
    weights = (w.start * scale).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(weights, x, obj).sum(), weights)
    off = float((force(weights.detach(), x, obj) + gradient).norm() / gradient.norm())
    claim = "closed-form MRP gradient equals autograd (relative error, float64)"
    return identity(claim, off, 1e-10, setting.kernels, "teacher_student_loss.py")


def pixel_gradient_check(seed: int = 0) -> Verdict:
    """Loss of the pixel form against the mean over all 2^P masks, its force against autograd, encoder and decoder."""
    gen, keep = generator(seed, "pixels"), 0.6
    x = torch.randn(3, 4, 5, generator=gen, dtype=torch.float64)
    w = torch.randn(6, 5, generator=gen, dtype=torch.float64).requires_grad_()
    decoder = torch.randn(5, 6, generator=gen, dtype=torch.float64).requires_grad_()
    s, mean = activation(x @ w.T, 4, 0.5), torch.zeros((), dtype=torch.float64)
    for seen in itertools.product((0.0, 1.0), repeat=4):
        shown = torch.tensor(seen, dtype=torch.float64)[:, None]
        rest = (x - (shown * s).sum(1, keepdim=True) @ decoder.T).square() * (1 - shown)
        chance = keep ** sum(seen) * (1 - keep) ** (4 - sum(seen))
        mean = mean + 0.5 * chance * rest.sum((1, 2)).mean()
    expected = torch.autograd.grad(mean, (w, decoder))
    found = pixel_force(w.detach(), decoder.detach(), x, 4, 0.5, keep)
    off = max(float((f + e).norm() / e.norm()) for f, e in zip(found, expected, strict=True))
    off = max(off, abs(float((pixel_loss(w, decoder, x, 4, 0.5, keep) - mean).detach() / mean.detach())))
    claim = "pixel form: loss and force with the mask integrated out against all masks (relative error, float64)"
    return identity(claim, off, 1e-10, 16, "pixel_form.py")


def mask_integral_check(setting: Setting, seed: int = 0, draws: int = 400, blocks: int = 16) -> Verdict:
    """Mean force of drawn masks against the integrated one: root mean square z-score, 1 for an unbiased estimate.

    The coordinates of all kernels share the masks of a few strong patches: one block of samples adds only a few degrees
    of freedom. So there are several blocks, each with its own 8 kernels, 20 samples and masks.
    """
    s = replace(setting, mask_ratio=max(setting.mask_ratio, 0.3), samples=20 * blocks)
    w = world(s, seed, torch.float64)
    obj, gen = Objective.of(s), generator(seed, "masks")
    kernels = (w.start * (s.threshold / s.init_scale)).split(8)
    squares = []
    for i, x in enumerate(w.unlabeled().x.split(20)):
        weights = kernels[i % len(kernels)]
        drawn = torch.stack([sampled_force(weights, x, obj, gen) for _ in range(draws)])
        z = (drawn.mean(0) - force(weights, x, obj)) / (drawn.std(0) / draws**0.5).clamp_min(1e-300)
        squares.append(z.square().mean())
    claim = "sampled masks average to the integrated gradient (rms z-score over coordinates)"
    measured = float(torch.stack(squares).mean().sqrt())
    return Verdict(
        claim=claim, kind="law", measured=measured, predicted=1.0, low=0.7, high=1.3, n=blocks * draws,
        source="teacher_student_loss.py",
    )  # fmt: skip


def decoupling_check(setting: Setting, seed: int = 0, kernels: int = 6) -> Verdict:
    """Trajectories of a few kernels computed alone and among others."""
    s = replace(setting, kernels_per_class=1)
    w = world(s, seed, torch.float64)
    w = replace(w, start=w.start * 2.0)
    times = torch.logspace(1, 3, 4, dtype=torch.float64)
    together = pretrain([w], times).weights[:, 0]
    off = 0.0
    for r in range(min(kernels, s.kernels)):
        path = pretrain([replace(w, start=w.start[r : r + 1])], times).weights[:, 0, 0]
        off = max(off, float((path - together[:, r]).abs().max() / together[:, r].abs().max()))
    claim = "a kernel's trajectory does not depend on the other kernels (relative difference)"
    return identity(claim, off, 1e-6, kernels, "teacher_student_loss.py")


def fixed_point_check() -> Verdict:
    """a* from small weights on fixed, equal patches, both branches: largest relative error over the configurations."""
    off = 0.0
    for q, tau, gain, ratio, patches in FIXED_POINTS:
        s = plain(patches, power=q, teacher_scale=tau, gain=gain, mask_ratio=ratio)
        w = world(s, 0, torch.float64)
        w = replace(w, start=0.1 * w.v[:1])
        reached = float(pretrain([w], torch.tensor([1e8])).correlation[-1, 0, 0, 0])
        predicted = fixed_point(q, s.threshold, tau, s.effective_gain)
        off = max(off, abs(reached - predicted) / max(predicted, s.threshold / tau))
    claim = "fixed point of one feature alone in both branches, over q, tau, b, mask ratio, C_p (relative error)"
    return identity(claim, off, 1e-6, len(FIXED_POINTS), "laws.py", "fixed equal patches")


def growth_window_check() -> Verdict:
    """Sign of the force at a → 0 (grows iff B < τ^q) and at a → ∞ (finite iff B > τ) for one feature and for two that
    occur together, on a grid that includes both sides.
    """
    right = total = 0
    grid = itertools.product((3, 4, 5), (1.2, 1.5, 1.9), (0.8, 1.1, 1.6, 2.4, 4.0, 9.0), ((0.0, 1), (0.4, 2)), (1, 2))
    for q, tau, gain, (ratio, patches), members in grid:
        s = plain(patches, power=q, teacher_scale=tau, gain=gain, mask_ratio=ratio)
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
    return Verdict(
        claim=claim, kind="identity", measured=right / total, predicted=1.0, low=1.0, high=1.0, n=total,
        source="laws.py",
    )  # fmt: skip


def phase_checks(setting: Setting, dtype: torch.dtype = torch.float32) -> list[Verdict]:
    """Critical mask ratios by bisection: one feature, then the L views of a class; equal, then random strengths."""
    verdicts = []
    q, tau, b = setting.power, setting.teacher_scale, setting.gain
    for members, name in ((1, "alone"), (setting.data.views, "together")):
        off, n, highest = 0.0, 0, 0.0
        for patches in (1, 2):
            s = plain(patches, power=q, teacher_scale=tau, gain=b)
            predicted = critical_mask_ratio(q, tau, b, members * patches)
            off, n = max(off, abs(bisect_mask_ratio(s, members, dtype) - predicted)), n + 1
            highest = max(highest, predicted)
        claim = f"critical mask ratio, features grow {name}, equal patches, C_p = 1, 2"
        verdicts.append(replace(_phase(claim, off, n, "law"), applies=highest < HIGHEST))
    return [*verdicts, moment_check(setting, dtype)]


def moment_check(setting: Setting, dtype: torch.dtype) -> Verdict:
    """The critical mask ratio of the preset's own random strengths; empty if noise grows without bound meanwhile."""
    q, tau, b = setting.power, setting.teacher_scale, setting.gain
    random = replace(setting, missing=0)
    support = support_of(world(random, 0).unlabeled(), torch.arange(setting.data.views), q)
    predicted = critical_mask_ratio(q, tau, b, support)
    try:
        off = abs(bisect_mask_ratio(random, setting.data.views, dtype) - predicted)
    except UserError:
        off = float("nan")
    name = "critical mask ratio, views together, the preset's random strengths (moment formula)"
    return replace(_phase(name, off, 1, "ours"), applies=predicted < HIGHEST)


def bisect_mask_ratio(setting: Setting, members: int, dtype: torch.dtype = torch.float32, rounds: int = 8) -> float:
    """Largest mask ratio at which a kernel that starts on `members` views of class 0, equally, is captured."""
    base = world(setting, 0, dtype)
    low, high = 0.0, 0.98
    for _ in range(rounds):
        ratio = 0.5 * (low + high)
        alive = grows([replace(base, setting=replace(setting, mask_ratio=ratio))], [members])
        low, high = (ratio, high) if bool(alive[0, 0]) else (low, ratio)
    return 0.5 * (low + high)


def grows(worlds: Sequence[World], groups: Sequence[int]) -> Tensor:
    """(S, len(groups)) bool: whether a kernel on the first M views of class 0, for M in groups, with correlation 0.1 ϱ
    each, is captured rather than dies; all worlds as one batch."""
    size = 0.1 * worlds[0].setting.threshold
    begun = [replace(w, start=size * torch.stack([w.v[:m].sum(0) for m in groups])) for w in worlds]
    return pretrain(begun, torch.tensor([1e12]), through_capture=False).capture_time.isfinite()


def _phase(claim: str, off: float, n: int, kind: Kind) -> Verdict:
    return Verdict(
        claim=claim + " (largest absolute error)",
        kind=kind,
        measured=off,
        predicted=0.0,
        low=0.0,
        high=0.005,
        n=n,
        source="laws.py",
    )


def plain(patches: int, **changes: float) -> Setting:
    """Two classes with only their own views at strength 1 on each patch, no noise: the exactly solvable case."""
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

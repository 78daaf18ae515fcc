"""Verdicts beyond the paper, on variants of the objective: block masks, binding, a lagging teacher, finite steps,
minibatches, and a contrastive loss. Each compares a closed form with a simulation that does not use it."""

import itertools
from dataclasses import replace
from math import log, sqrt
from typing import Any

import torch
from torch import Tensor

from unmask.theory.binding import binding_time, mask_range
from unmask.theory.block_masks import block_force, block_loss, grows_under, together
from unmask.theory.capture import capture_level
from unmask.theory.checks_exact import FIXED_POINTS, plain
from unmask.theory.contrastive import contrastive_force, contrastive_loss, rest
from unmask.theory.finite_steps import curvature, growth_exponent, largest_step
from unmask.theory.integrate import descend
from unmask.theory.lagging_teacher import follow, paced_rate
from unmask.theory.laws import critical_mask_ratio, fixed_point
from unmask.theory.network import activation
from unmask.theory.problem import world
from unmask.theory.sampling import generator
from unmask.theory.setting import Setting
from unmask.theory.teacher_student_flow import pretrain
from unmask.theory.teacher_student_loss import Objective, force
from unmask.theory.verdict import Verdict, attempt, identity, law

KONG = "block_masks.py; compare Kong et al. 2023, Bisulco et al. 2025 (arXiv 2508.15404)"


def objective_checks(seed: int = 0) -> list[Verdict]:
    """All checks of this file, without a preset. `seed` draws data and batches for those that need them."""
    return [
        *attempt("block masks", lambda: [block_integral_check(seed), block_ratio_check()]),
        *attempt("binding", lambda: [binding_time_check(), lower_end_check()]),
        *attempt("the lagging teacher", lambda: lag_checks()),
        *attempt("finite steps", lambda: [step_check(), minibatch_check(seed)]),
        *attempt("the contrastive objective", lambda: [contrastive_integral_check(seed), contrastive_rest_check()]),
    ]


def block_integral_check(seed: int = 0) -> Verdict:
    """The loss with block masks against the mean over all 2^(P/g) masks, and its force against autograd."""
    gen, off = generator(seed, "blocks"), 0.0
    for block in (1, 2, 3):
        x = torch.randn(5, 6, 4, generator=gen, dtype=torch.float64)
        w = torch.randn(7, 4, generator=gen, dtype=torch.float64).requires_grad_()
        obj = Objective(4, 0.5, 1.4, 2.0, 0.7)
        s = activation(x @ w.T, 4, 0.5)
        target = activation(1.4 * (x @ w.detach().T), 4, 0.5).sum(1)
        mean = torch.zeros(7, dtype=torch.float64)
        for seen in itertools.product((0.0, 1.0), repeat=6 // block):
            chance = obj.keep ** sum(seen) * (1 - obj.keep) ** (len(seen) - sum(seen))
            shown = torch.tensor(seen, dtype=torch.float64).repeat_interleave(block)[None, :, None]
            student = obj.gain / obj.keep * (shown * s).sum(1)
            mean = mean + chance * 0.5 * (target - student).square().mean(0)
        written = block_loss(w, x, obj, block)
        (gradient,) = torch.autograd.grad(mean.sum(), w)
        pull = block_force(w.detach(), x, obj, block)
        off = max(off, float((written - mean).detach().norm() / mean.detach().norm()))
        off = max(off, float((pull + gradient).norm() / gradient.norm()))
    return identity("block masks integrate out: loss and force against all masks, g = 1, 2, 3", off, 1e-10, 3, KONG)


def block_ratio_check() -> Verdict:
    """Critical mask ratio of M features on C_p patches under blocks of g against x = M C_p (τ^q/b - 1)/g."""
    off, cases = 0.0, ((1, 4, 1), (1, 4, 2), (1, 4, 4), (2, 2, 2), (2, 2, 4), (3, 1, 3))
    for members, patches, block in cases:
        x, low, high = together(members, patches), 0.0, 0.98
        for _ in range(10):
            ratio = 0.5 * (low + high)
            obj = Objective(4, 0.5, 1.4, 2.0, ratio / (1 - ratio))
            low, high = (ratio, high) if grows_under(x, obj, block) else (low, ratio)
        off = max(off, abs(0.5 * (low + high) - critical_mask_ratio(4, 1.4, 2.0, members * patches / block)))
    claim = "upper end of the mask ratio under blocks of g: x = M C_p (tau^q/b - 1)/g (largest absolute error)"
    return law(claim, off, 0.005, len(cases), KONG)


def binding_time_check() -> Verdict:
    """Time in which a feature at its fixed point binds a partner of the same class: full flow against the formula."""
    off, cases = 0.0, ((0.05, 0.1, 1), (0.1, 0.06, 1), (0.2, 0.1, 1), (0.3, 0.08, 2))
    for ratio, size, patches in cases:
        s = plain(patches, mask_ratio=ratio)
        end = capture_level(s)
        predicted = binding_time(size * s.threshold, end, **_numbers(s), excess=s.mask_excess, patches=patches)
        off = max(off, abs(log(_bound_after(s, size * s.threshold, predicted) / predicted)))
    claim = "time in which masking binds a partner: t = rho^(q-1) (w0^(2-q) - w1^(2-q))/((q-2) r) (largest |log ratio|)"
    return law(claim, off, 0.03, len(cases), "binding.py", "the first feature at its fixed point, equal strengths")


def _numbers(s: Setting) -> dict[str, Any]:
    share = float((world(s, 0, torch.float64).unlabeled().labels == 0).double().mean())
    return {"q": s.power, "threshold": s.threshold, "tau": s.teacher_scale, "gain": s.gain, "together": share}


def _bound_after(s: Setting, partner: float, about: float) -> float:
    """Time at which view 1 of class 0 is captured by a kernel that starts with view 0 at its fixed point."""
    w = world(s, 0, torch.float64)
    reach = fixed_point(s.power, s.threshold, s.teacher_scale, s.effective_gain)
    times = torch.linspace(0.5, 1.6, 45, dtype=torch.float64) * about
    w = replace(w, start=(reach * w.v[0] + partner * w.v[1])[None])
    path = pretrain([w], times, stiff_rtol=1e-3).correlation[:, 0, 0, 1]
    level = capture_level(s)
    if float(path[0]) >= level or float(path[-1]) < level:
        return float("inf")
    i = int((path >= level).int().argmax())
    u = float((level - path[i - 1]) / (path[i] - path[i - 1]))
    return float(times[i - 1] + u * (times[i] - times[i - 1]))


def lower_end_check() -> Verdict:
    """A partner is bound by T within the predicted range of mask ratios, and not below: shares right on both sides."""
    s = plain(1)
    start, level = 0.1 * s.threshold, capture_level(s)
    middle = binding_time(start, level, **_numbers(s), excess=0.15 / 0.85)
    low, high = mask_range(middle, start, level, **_numbers(s))
    right = 0
    ratios = (0.5 * low, 0.85 * low, 1.15 * low, 0.5 * (low + high))
    for ratio in ratios:
        one = replace(s, mask_ratio=ratio)
        w = world(one, 0, torch.float64)
        reach = fixed_point(s.power, s.threshold, s.teacher_scale, one.effective_gain)
        w = replace(w, start=(reach * w.v[0] + start * w.v[1])[None])
        held = float(pretrain([w], torch.tensor([middle]), stiff_rtol=1e-3).correlation[-1, 0, 0, 1]) >= level
        right += held == (ratio > low)
    return Verdict(
        claim="lower end of the mask ratio: by T partner views are bound above it, not below (share of ratios right)",
        kind="law",
        measured=right / len(ratios),
        predicted=1.0,
        low=1.0,
        high=1.0,
        n=len(ratios),
        regime=f"T = {middle:.3g}: from {low:.2f} to {high:.2f}",
        source="binding.py; compare Kong et al. 2023",
    )


def lag_checks() -> list[Verdict]:
    """A lagging teacher: same fixed point, same window, and growth at the teacher's pace."""
    q, rho, tau = 4, 0.5, 1.4
    off, right, cases = 0.0, 0, ((2.0, 0.05), (2.222, 0.02), (3.0, 0.05))
    for gain, rate in cases:
        *_, (_, a, _) = follow(0.35 * rho, q=q, threshold=rho, tau=tau, gain=gain, lag_rate=rate, end=60 / rate)
        off = max(off, abs(a / fixed_point(q, rho, tau, gain) - 1))
    for gain, grows in ((3.6, True), (4.1, False)):
        *_, (_, a, _) = follow(0.3 * rho, q=q, threshold=rho, tau=tau, gain=gain, lag_rate=0.01, end=6e3)
        right += (a > 0.3 * rho) == grows
    rate, gain = 1e-4, 2.222
    path = follow(0.25 * rho, q=q, threshold=rho, tau=tau, gain=gain, lag_rate=rate, end=2e5)
    (t0, a0, _), (t1, a1, _) = (next(point for point in path if point[1] >= size * rho) for size in (0.5, 0.65))
    measured, predicted = log(a1 / a0) / (t1 - t0), paced_rate(q, tau, gain, rate)
    source = "lagging_teacher.py (data2vec's moving average)"
    return [
        law("a lagging teacher leaves the fixed point where it is (relative error)", off, 1e-4, len(cases), source),
        Verdict(
            claim="a lagging teacher leaves the growth window where it is (share of signs right)", kind="law",
            measured=right / 2, predicted=1.0, low=1.0, high=1.0, n=2, source=source,
        ),
        Verdict(
            claim="a lagging teacher paces growth: rate lambda (tau B^(-1/q) - 1) (measured over predicted)",
            kind="law", measured=measured / predicted, predicted=1.0, low=0.95, high=1.1, n=1, source=source,
        ),
    ]  # fmt: skip


def step_check() -> Verdict:
    """Largest stable step at the fixed points, both branches, by bisection of plain gradient descent, against 2/h."""
    off = 0.0
    for q, tau, gain, ratio, patches in FIXED_POINTS:
        s = plain(patches, power=q, teacher_scale=tau, gain=gain, mask_ratio=ratio)
        x, obj, reach, h = _at_rest(s)
        low, high = 0.5 / h, 8.0 / h
        for _ in range(12):
            step = sqrt(low * high)
            first = torch.zeros(1, s.data.dim, dtype=torch.float64)
            first[0, 0] = reach * (1 + 1e-6)
            path = descend(lambda w, x=x, obj=obj: force(w, x, obj), first, step, 60)  # type: ignore[misc]
            stays = abs(float(path[-1, 0, 0]) / reach - 1) < 1e-6
            low, high = (step, high) if stays else (low, step)
        off = max(off, abs(sqrt(low * high) * h / 2 - 1))
    claim = "largest stable step at the fixed point: eta = 2/h, both branches (largest relative error)"
    return law(claim, off, 0.01, len(FIXED_POINTS), "finite_steps.py")


def _at_rest(s: Setting) -> tuple[Tensor, Objective, float, float]:
    """Patches in the feature basis, objective, a* and h of one feature alone in the plain setting."""
    w = world(s, 0, torch.float64)
    data = w.unlabeled()
    reach = fixed_point(s.power, s.threshold, s.teacher_scale, s.effective_gain)
    share = float((data.labels == 0).double().mean())
    scale = s.gain * s.data.patches_per_feature**2
    h = curvature(s.power, s.threshold, s.teacher_scale, s.effective_gain, reach, share, scale)
    return data.x @ w.basis.T, Objective.of(s), reach, h


def minibatch_check(seed: int = 0, steps: int = 1500) -> Verdict:
    """Mean logarithmic growth of a deviation in minibatch descent at 0.8 and 1.2 of the predicted largest step: its
    sign, for batches of 1, 4 and 16."""
    s = plain(1, mask_ratio=0.1)
    x, obj, reach, h = _at_rest(s)
    share = float((x[:, :, 0].abs().amax(1) > 0.5).double().mean())
    gen, right, sizes = generator(seed, "minibatches"), 0, (1, 4, 16)
    for batch in sizes:
        top = largest_step(h, share, batch)
        for step, stays in ((0.8 * top, True), (1.2 * top, False)):
            total, off = 0.0, 1e-6
            for _ in range(steps):
                w = torch.zeros(1, s.data.dim, dtype=torch.float64)
                w[0, 0] = reach + off
                drawn = x[torch.randint(len(x), (batch,), generator=gen)]
                moved = off + step * float(force(w, drawn, obj)[0, 0])
                total += log(max(abs(moved / off), 1e-12))
                off = 1e-6 if moved >= 0 else -1e-6
            assert growth_exponent(step, h, share, batch) < 0 or not stays
            right += (total < 0) == stays
    return Verdict(
        claim="minibatches of n stay at the fixed point iff E ln |1 - eta h J/(pi n)| < 0 (share of signs right)",
        kind="law",
        measured=right / (2 * len(sizes)),
        predicted=1.0,
        low=1.0,
        high=1.0,
        n=2 * len(sizes),
        regime="equal strengths, n = 1, 4, 16",
        source="finite_steps.py",
    )


def contrastive_integral_check(seed: int = 0) -> Verdict:
    """Loss of positive pairs, masks integrated out, against all pairs of masks, and its force against autograd."""
    gen, off, keep = generator(seed, "pairs"), 0.0, 0.5
    x = torch.randn(4, 3, 4, generator=gen, dtype=torch.float64)
    w = torch.randn(5, 4, generator=gen, dtype=torch.float64).requires_grad_()
    s = activation(x @ w.T, 4, 0.5)
    masks = [torch.tensor(seen, dtype=torch.float64)[None, :, None] for seen in itertools.product((0.0, 1.0), repeat=3)]
    seen = torch.stack([(mask * s).sum(1) / keep for mask in masks])
    moment = torch.einsum("mnk,mnl->kl", seen, seen) / (len(masks) * len(x))
    for apart in (False, True):
        paired = seen.flip(0) if apart else seen.mean(0).expand_as(seen)
        expected = -2 * (seen * paired).sum(2).mean() + moment.square().sum()
        written = contrastive_loss(w, x, 4, 0.5, 1.0, apart)
        (gradient,) = torch.autograd.grad(expected, w, retain_graph=True)
        pull = contrastive_force(w.detach(), x, 4, 0.5, 1.0, apart)
        off = max(
            off,
            abs(float((written - expected).detach() / expected.detach())),
            float((pull + gradient).norm() / gradient.norm()),
        )
    claim = "masked positive pairs integrate out: loss and force against all masks, independent and complementary"
    return identity(claim, off, 1e-10, 2, "contrastive.py; HaoChen et al. 2021")


def contrastive_rest_check() -> Verdict:
    """Where one kernel comes to rest under the contrastive loss, on n patches, by descent: relative error of σ(a*).

    One patch under complementary masks is the case that is never learned: it must shrink or stay."""
    off, n, q, rho = 0.0, 0, 4, 0.5
    for patches, apart, ratio in itertools.product((1, 2, 4), (False, True), (0.2, 0.6)):
        excess = ratio / (1 - ratio)
        x = torch.zeros(3, patches, 2, dtype=torch.float64)
        x[0, :, 0] = 1.0
        x[1:, :, 1] = 1.0
        w = torch.tensor([[0.4, 0.0]], dtype=torch.float64)
        for _ in range(3000):
            w = w + 0.02 / patches * contrastive_force(w, x, q, rho, excess, apart)
        found, expected = float(activation(w[:, 0], q, rho)), rest(patches, 1 / 3, excess, apart)
        off = max(off, abs(found / expected - 1) if expected else float(float(w[0, 0]) > 0.4))
        n += 1
    claim = "contrastive kernels rest at sqrt((n - c)/(n pi))/(n + x); one patch alone is never learned"
    return law(claim, off, 1e-4, n, "contrastive.py; HaoChen et al. 2021, arXiv 2210.08344")

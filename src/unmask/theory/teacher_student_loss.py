"""Teacher-student (data2vec form) MRP: loss and its gradient, the Bernoulli mask integrated out exactly.

Student (b/θ) Σ_p σ(⟨w_r, ε_p x_p⟩) with ε_p ~ Bernoulli(θ); σ(0) = 0, so it is (b/θ) Σ_p ε_p s_p with s_p = σ(⟨w_r,
x_p⟩). Its mean is b h, h = Σ_p s_p, and its variance (b/θ)² θ(1-θ) Σ_p s_p². The teacher ĥ = Σ_p σ(τ⟨w_r, x_p⟩) is a
constant for the gradient, so

    L_r = ½ E_ε (ĥ - student)² = ½ (ĥ - b h)² + ½ b² x Σ_p s_p²,        x = (1-θ)/θ,
    -∂L_r/∂w_r = b Σ_p σ'(⟨w_r, x_p⟩) [ĥ - b h - b x s_p] x_p,         averaged over the samples.

The loss is a sum over kernels and -∂L_r/∂w_r depends only on w_r: kernels decouple.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unmask.theory.network import activation, branches, power, silence, slope
from unmask.theory.setting import Setting

BLOCK = 1 << 17
"""Elements of a row block: small enough that its few buffers stay in cache, large enough for the matrix product."""

LEAST_ROWS = 16
"""Fewest samples per block for coupled kernels: thinner matrix products cost more than the cache saves."""

KERNELS = 1024
"""Kernels per block for decoupled kernels."""


@dataclass(frozen=True)
class Objective:
    """The numbers the MRP loss needs."""

    power: int
    threshold: float
    teacher_scale: float
    gain: float
    mask_excess: float

    @classmethod
    def of(cls, setting: Setting) -> "Objective":
        """The objective of a setting."""
        s = setting
        return cls(s.power, s.threshold, s.teacher_scale, s.gain, s.mask_excess)

    @property
    def keep(self) -> float:
        """θ = 1 / (1 + x)."""
        return 1.0 / (1.0 + self.mask_excess)


def loss(weights: Tensor, x: Tensor, obj: Objective, teacher: Tensor | None = None) -> Tensor:
    """L_r, shape (K,): the exact expectation over masks, averaged over samples.

    Args:
        weights: student (K, d).
        x: patches (N, P, d).
        obj: the objective.
        teacher: weights of the teacher (K, d), default the student's, detached (no gradient flows through it).
    """
    teacher = weights.detach() if teacher is None else teacher
    s = activation(x @ weights.T, obj.power, obj.threshold)
    target = activation(obj.teacher_scale * (x @ teacher.T), obj.power, obj.threshold).sum(1)
    mean = (target - obj.gain * s.sum(1)).square()
    return 0.5 * (mean + obj.gain**2 * obj.mask_excess * s.square().sum(1)).mean(0)


def force(weights: Tensor, x: Tensor, obj: Objective) -> Tensor:
    """-∂L_r/∂w_r, shape (K, d), in blocks of kernels and rows that stay in cache (kernels decouple).

    With α = ⟨w, x⟩/ϱ, m = clip(α, 0, 1), φ(α) = m^q/q + max(α-1, 0) the bracket is ϱ (R - b x φ), R = Σ_p φ(τα) - b
    φ(α). While every τα <= 1, φ(τα) = τ^q φ(α): one power serves student and teacher.
    """
    return torch.cat([_force(part, x, obj) for part in weights.split(KERNELS)])


def _force(weights: Tensor, x: Tensor, obj: Objective) -> Tensor:
    n, p, d = x.shape
    scaled = (weights / obj.threshold).T.contiguous()
    out = weights.new_zeros(weights.shape)
    rows = max(1, BLOCK // (p * weights.shape[0]))
    silent = silence(obj.power, x.dtype)
    buffers = [x.new_empty(min(rows, n) * p, weights.shape[0]) for _ in range(4)]
    past = False
    for chunk in x.split(rows):
        size = chunk.shape[0] * p
        block = [buffer[:size] for buffer in buffers]
        flat = chunk.reshape(size, d)
        torch.mm(flat, scaled, out=block[0])
        torch.threshold_(block[0], silent, 0.0)
        # Once a block is past the threshold, the general form is cheaper than trying the other first.
        pull = None if past else _pull_below(block, p, obj)
        past = pull is None
        out.addmm_((_pull(block, p, obj) if pull is None else pull).T, flat)
    return out.mul_(obj.gain * obj.threshold / n)


def _pull_below(block: Sequence[Tensor], p: int, obj: Objective) -> Tensor | None:
    """`_pull` if every τα <= 1, in less than half its passes; None, with α unchanged, if some may be above."""
    alpha, s, m, _ = block
    q, tau, b = obj.power, obj.teacher_scale, obj.gain
    power(alpha, q - 1, out=s)
    torch.mul(s, alpha, out=m)
    total = _sums(m, p)
    if float(total.amax()) * max(tau, 1.0) ** q > 1.0:
        return None
    return _bracket(total.mul_((tau**q - b) / q), m, -b * obj.mask_excess / q, s)


def _pull(block: Sequence[Tensor], p: int, obj: Objective) -> Tensor:
    """σ'(a) [R - b x φ] of one block of responses α = block[0], (rows, K); all of `block` is overwritten.

    With c = min(α, 1/τ) the teacher is φ(τα) = τ (α - c + τ^(q-1) c^q / q).
    """
    alpha, s, c, teacher = block
    q, tau, b = obj.power, obj.teacher_scale, obj.gain
    torch.clamp(alpha, max=1.0 / tau, out=c)
    power(c, q - 1, out=s)
    torch.sub(alpha, c, out=teacher)
    teacher.addcmul_(c, s, value=tau ** (q - 1) / q)
    phi = branches(alpha, q, c, s)
    total = _sums(teacher, p).mul_(tau).sub_(_sums(phi, p), alpha=b)
    return _bracket(total, phi, -b * obj.mask_excess, s)


def _sums(values: Tensor, p: int) -> Tensor:
    """Sums over the p patches of each sample, (n, 1, K), of values (n · p, K)."""
    return values.view(-1, p, values.shape[1]).sum(1, keepdim=True)


def _bracket(total: Tensor, phi: Tensor, factor: float, s: Tensor) -> Tensor:
    """s [total + factor · φ], written into s; total (n, 1, K), φ and s (n · p, K)."""
    wide = phi.view(len(total), -1, phi.shape[1])
    torch.add(total, wide, alpha=factor, out=wide)
    return s.mul_(phi)


def sampled_force(weights: Tensor, x: Tensor, obj: Objective, gen: torch.Generator) -> Tensor:
    """-∂/∂w_r of ½ (ĥ_r - student_r)² with one drawn mask per sample, (K, d). Its mean over masks is `force`."""
    a = x @ weights.T
    visible = (torch.rand(x.shape[:2], generator=gen) < obj.keep).to(x.dtype)[:, :, None]
    student = obj.gain / obj.keep * visible * activation(a, obj.power, obj.threshold)
    target = activation(obj.teacher_scale * a, obj.power, obj.threshold).sum(1, keepdim=True)
    residual = target - student.sum(1, keepdim=True)
    g = obj.gain / obj.keep * visible * slope(a, obj.power, obj.threshold) * residual
    return torch.einsum("npk,npd->kd", g, x) / x.shape[0]

"""Teacher-student (data2vec form) MRP: loss and its gradient, the Bernoulli mask integrated out exactly.

Student (b/θ) Σ_p σ(⟨w_r, ε_p x_p⟩) with ε_p ~ Bernoulli(θ); σ(0) = 0, so it is (b/θ) Σ_p ε_p s_p with s_p = σ(⟨w_r,
x_p⟩). Its mean is
b h, h = Σ_p s_p, and its variance (b/θ)² θ(1-θ) Σ_p s_p². The teacher ĥ = Σ_p σ(τ⟨w_r, x_p⟩) is a constant for the
gradient, so

    L_r = ½ E_ε (ĥ - student)² = ½ (ĥ - b h)² + ½ b² x Σ_p s_p²,        x = (1-θ)/θ,
    -∂L_r/∂w_r = b Σ_p σ'(⟨w_r, x_p⟩) [ĥ - b h - b x s_p] x_p,         averaged over the samples.

The loss is a sum over kernels and -∂L_r/∂w_r depends on w_r alone: kernels decouple.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from unmask.theory.network import activation, powers, slope
from unmask.theory.setting import Setting

BLOCK = 1 << 16
"""Elements of a row block: its few buffers stay in the second-level cache."""


NEGLIGIBLE = 1e-5
"""a/ϱ below which a patch is silent: its pull, (a/ϱ)^(2q-1), is below 1e-35 at q = 4 and would become a denormal (20
times slower).
"""


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
    """-∂L_r/∂w_r, shape (K, d), in row blocks that stay in cache.

    With α = ⟨w, x⟩/ϱ, m = clip(α, 0, 1), φ(α) = m^q/q + max(α-1, 0) the bracket is ϱ (R - b x φ), R = Σ_p φ(τα) - b
    φ(α). While every
    τα <= 1, φ(τα) = τ^q φ(α): one power serves student and teacher.
    """
    n, p, d = x.shape
    scaled = (weights / obj.threshold).T.contiguous()
    out = weights.new_zeros(weights.shape)
    rows = max(1, BLOCK // (p * weights.shape[0]))
    buffers = [x.new_empty(min(rows, n) * p, weights.shape[0]) for _ in range(4)]
    for chunk in x.split(rows):
        size = chunk.shape[0] * p
        alpha, s, m, t = (buffer[:size] for buffer in buffers)
        flat = chunk.reshape(size, d)
        torch.mm(flat, scaled, out=alpha)
        out.addmm_(_pull(alpha, s, m, t, p, obj).T, flat)
    return out.mul_(obj.gain * obj.threshold / n)


def _pull(alpha: Tensor, s: Tensor, m: Tensor, t: Tensor, p: int, obj: Objective) -> Tensor:
    """σ'(a) [R - b x φ] of one block, (rows, K), written into its buffers."""
    q, tau, b = obj.power, obj.teacher_scale, obj.gain
    if float(alpha.amax()) * max(tau, 1.0) <= 1.0:
        torch.threshold_(alpha, NEGLIGIBLE, 0.0)
        powers(alpha, q, s, m)
        total = m.view(-1, p, m.shape[1]).sum(1, keepdim=True).mul_((tau**q - b) / q)
        excess = m.mul_(-b * obj.mask_excess / q)
    else:
        torch.clamp(alpha, 0.0, 1.0, out=m)
        powers(m, q, s, t)
        alpha_over = torch.sub(alpha, 1.0, out=m).clamp_min_(0.0)
        phi = alpha_over.add_(t, alpha=1.0 / q)
        alpha.mul_(tau)
        teacher = _phi(alpha, q, t)
        total = teacher.sub_(phi, alpha=b).view(-1, p, t.shape[1]).sum(1, keepdim=True)
        excess = phi.mul_(-b * obj.mask_excess)
    excess.view(-1, p, excess.shape[1]).add_(total)
    return s.mul_(excess)


def _phi(alpha: Tensor, q: int, buffer: Tensor) -> Tensor:
    """φ(α) in place; `buffer` is overwritten."""
    torch.clamp(alpha, 0.0, 1.0, out=buffer)
    if q == 4:
        buffer.square_().square_()
    else:
        buffer.pow_(q)
    return alpha.sub_(1.0).clamp_min_(0.0).add_(buffer, alpha=1.0 / q)


def sampled_force(weights: Tensor, x: Tensor, obj: Objective, gen: torch.Generator) -> Tensor:
    """-∂/∂w_r of ½ (ĥ_r - student_r)² with one drawn mask per sample, (K, d). Its mean over masks is `force`."""
    a = x @ weights.T
    visible = (torch.rand(x.shape[:2], generator=gen) < obj.keep).to(x.dtype)[:, :, None]
    student = obj.gain / obj.keep * visible * activation(a, obj.power, obj.threshold)
    target = activation(obj.teacher_scale * a, obj.power, obj.threshold).sum(1, keepdim=True)
    residual = target - student.sum(1, keepdim=True)
    g = obj.gain / obj.keep * visible * slope(a, obj.power, obj.threshold) * residual
    return torch.einsum("npk,npd->kd", g, x) / x.shape[0]

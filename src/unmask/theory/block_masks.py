"""Block masks: patches hidden in blocks of g, and their effect on the critical mask ratio.

Patches g·i, ..., g·i + g - 1 of a sample share one ε ~ Bernoulli(θ). With S_β = Σ_{p∈β} s_p the student (b/θ) Σ_β ε_β
S_β has mean b h and variance b² x Σ_β S_β², so

    L_r = ½ (ĥ - b h)² + ½ b² x Σ_β S_β²,    -∂L_r/∂w_r = b Σ_p σ'(⟨w_r, x_p⟩) [ĥ - b h - b x S_β(p)] x_p.

M co-occurring features on C_p equal patches each, every block inside one feature: S_β = g σ(a), and the effective gain
is B = b (1 + x g/(M C_p)). A feature that fills more cells can be hidden more often (C_p), one that is hidden whole
cannot (g = C_p): the critical mask ratio is that of x = M C_p (τ^q/b - 1)/g. Blocks larger than features cover g/C_p of
those that occur together: then S_β sums over them, and support falls to the number of blocks, M C_p/g again.
"""

import torch
from torch import Tensor

from unmask.theory.network import activation, slope
from unmask.theory.teacher_student_loss import Objective


def block_loss(weights: Tensor, x: Tensor, obj: Objective, block: int, teacher: Tensor | None = None) -> Tensor:
    """L_r, (K,), averaged over samples; weights and teacher (K, d), x (N, P, d) with P a multiple of `block`."""
    teacher = weights.detach() if teacher is None else teacher
    s = activation(x @ weights.T, obj.power, obj.threshold)
    target = activation(obj.teacher_scale * (x @ teacher.T), obj.power, obj.threshold).sum(1)
    inside = s.unflatten(1, (-1, block)).sum(2)
    mean = (target - obj.gain * s.sum(1)).square()
    return 0.5 * (mean + obj.gain**2 * obj.mask_excess * inside.square().sum(1)).mean(0)


def block_force(weights: Tensor, x: Tensor, obj: Objective, block: int, teacher: Tensor | None = None) -> Tensor:
    """-∂L_r/∂w_r, (K, d)."""
    teacher = weights if teacher is None else teacher
    a = x @ weights.T
    s = activation(a, obj.power, obj.threshold)
    target = activation(obj.teacher_scale * (x @ teacher.T), obj.power, obj.threshold).sum(1, keepdim=True)
    inside = s.unflatten(1, (-1, block)).sum(2).repeat_interleave(block, 1)
    rest = target - obj.gain * s.sum(1, keepdim=True) - obj.gain * obj.mask_excess * inside
    g = obj.gain * slope(a, obj.power, obj.threshold) * rest
    return torch.einsum("npk,npd->kd", g, x) / len(x)


def together(members: int, patches: int) -> Tensor:
    """One sample that shows `members` features of strength 1 on `patches` patches each, side by side:
    (1, members · patches, members) float64."""
    return torch.eye(members, dtype=torch.float64).repeat_interleave(patches, 0)[None]


def grows_under(x: Tensor, obj: Objective, block: int, start: float = 0.1, steps: int = 4000) -> bool:
    """Whether equal correlations of `start` ϱ grow to ϱ/τ rather than fall to half: steps of 5 % of the size."""
    w = torch.full((1, x.shape[2]), start * obj.threshold, dtype=x.dtype)
    for _ in range(steps):
        pull = block_force(w, x, obj, block)
        size = float(pull.norm())
        if size == 0.0:
            return False
        w = w + 0.05 * float(w.norm()) / size * pull
        top = float(w.amax())
        if top >= 0.9 * obj.threshold / obj.teacher_scale or top <= 0.5 * start * obj.threshold:
            return top > start * obj.threshold
    return False

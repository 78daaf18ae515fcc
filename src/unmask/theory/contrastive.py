"""A contrastive objective on the same data: two masks of one sample are a positive pair (HaoChen et al. 2021's spectral
loss; "How Mask Matters", arXiv 2210.08344, reads masked reconstruction as aligning such pairs).

With h_ε = (1/θ) Σ_p ε_p s_p, s_p ∈ R^K the responses to patch p, h = Σ_p s_p and x = (1-θ)/θ,

    L = -2 E ⟨h_ε, h_ε'⟩ + E (⟨h_ε(X), h_ε'(X')⟩)²,    positives: two masks of X; negatives: masks of independent X, X'.

Two masks drawn independently have E ⟨h_ε, h_ε'⟩ = ‖h‖²; complementary ones (ε' = 1 - ε, scaled likewise) never show the
same patch: ‖h‖² - Σ_p ‖s_p‖². The negatives are ‖C‖² with C = E [h hᵀ + x Σ_p s_p s_pᵀ]. So

    -∂L/∂w_r = 4 E Σ_p σ'(⟨w_r, x_p⟩) [h_r - c s_rp - (C h)_r - x (C s_p)_r] x_p,    c = 1 if complementary, else 0.

Kernels are coupled through C: what one holds, no other needs to learn. Small weights always grow (order 2q-1 against
4q-1), so there is **no mask ratio at which nothing is learned**. One kernel on n = M C_p equal patches of strength 1
that a share π of the samples shows together rests at

    σ(a*) = 1/(√π (n + x)) for independent masks,    √((n-1)/(n π))/(n + x) for complementary ones:

with complementary masks **a feature on one patch that occurs with nothing else is never learned**, one that occurs with
others is, together with them. Reconstruction learns it alone (in the middle phase also only together).
"""

from collections.abc import Sequence
from math import sqrt

import torch
from torch import Tensor

from unmask.theory.integrate import chebyshev
from unmask.theory.network import activation, slope
from unmask.theory.problem import World


def contrastive_loss(weights: Tensor, x: Tensor, q: int, threshold: float, excess: float, apart: bool) -> Tensor:
    """L, a scalar, masks integrated out. weights (K, d), x (N, P, d), excess x; apart: complementary masks."""
    s = activation(x @ weights.T, q, threshold)
    h = s.sum(1)
    positive = h.square().sum() - (s.square().sum() if apart else 0.0)
    return -2 * positive / len(x) + _second_moment(s, h, excess).square().sum()


def contrastive_force(weights: Tensor, x: Tensor, q: int, threshold: float, excess: float, apart: bool) -> Tensor:
    """-∂L/∂w_r, (K, d)."""
    a = x @ weights.T
    s = activation(a, q, threshold)
    h = s.sum(1)
    c = _second_moment(s, h, excess)
    pull = (h - h @ c)[:, None, :] - excess * (s @ c) - (s if apart else 0.0)
    g = (slope(a, q, threshold) * pull).flatten(0, 1)
    return 4 * g.T @ x.flatten(0, 1) / len(x)


def _second_moment(s: Tensor, h: Tensor, excess: float) -> Tensor:
    """C, (K, K)."""
    flat = s.flatten(0, 1)
    return (h.T @ h + excess * flat.T @ flat) / len(s)


def rest(patches: int, share: float, excess: float, apart: bool) -> float:
    """σ(a*) of one kernel on n = `patches` equal patches of strength 1, shown together by `share` of the samples."""
    return sqrt((patches - 1) / patches if apart else 1.0) / (sqrt(share) * (patches + excess))


def pretrain_contrastive(worlds: Sequence[World], when: float, apart: bool, rtol: float = 1e-2) -> Tensor:
    """Encoders of S seeds after the time `when` of the flow, (S, K, d)."""
    setting = worlds[0].setting
    shape, data = worlds[0].start.shape, [w.unlabeled().x for w in worlds]

    def field(states: Tensor, index: Tensor) -> Tensor:
        pairs = zip(states, index.tolist(), strict=True)
        forces = [
            contrastive_force(
                row.view(shape), data[i], setting.power, setting.threshold, setting.mask_excess, apart
            ).flatten()
            for row, i in pairs
        ]
        return torch.stack(forces)

    start = torch.stack([w.start.flatten() for w in worlds])
    done = chebyshev(field, start, when, lambda states, _: torch.zeros(len(states), dtype=torch.bool), rtol=rtol)
    return done.state.view(len(worlds), *shape)

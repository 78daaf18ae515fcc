"""Features of unequal strength, and one that is strong but useless: which feature a kernel captures first.

From small weights a feature grows as dw/dt = b ρ_f w^(2q-1)/(q ϱ^(2q-2)) with the rate (one patch a feature)

    ρ_f = (τ^q - b - b x) E z_f^(2q),

so its capture time is ~ 1/(ρ_f w(0)^(2q-2)) and the first of a kernel is the largest of w_f(0) ρ_f^(1/(2q-2)). With
w_f(0) ~ N(0, σ0²) the share of kernels that f leads is

    S_f = ∫ φ(y) Π_{g≠f} Φ(y (ρ_f/ρ_g)^(1/(2q-2))) dy    over y > 0 (nothing grows from a negative start).

A strength enters as z^(2q/(2q-2)) and a frequency as its (2q-2)-th root: **strength counts for far more than
frequency**. A background of strength ζ that every sample shows takes a share S_b(ζ) of the kernels; the features that
tell classes apart have K (1 - S_b) kernels left, and by the occupancy law a share 1 - (1 - (1 - S_b)/F)^K of them
leads one. S_b is at most 1/2, however strong it is: half of the kernels start with a negative correlation.
Reconstruction learns the wrong thing if that is well below 1: few kernels per feature, or many useless features
(compare Balestriero and LeCun, arXiv 2402.11337, who find that reconstruction spends capacity on what has the largest
variance first).
"""

from math import pi, sqrt

import torch
from torch import Tensor

from unmask.theory.distribution import Distribution, Range


def rates(dist: Distribution, q: int) -> Tensor:
    """E z_f^(2q) over samples of every direction, up to the common factor, (F,), with a background (F + 1,)."""
    k, mu = dist.classes, dist.single_share
    present = sum(min(i, dist.classes_that_fit - 1) * c for i, c in enumerate(_binomial(k - 1, dist.others / k))) / k
    shown = 1 / dist.views
    own = (1 - mu + mu * shown) * _moment(dist.own, 2 * q) + mu * (1 - shown) * _moment(dist.weak, 2 * q)
    other = (1 - mu) * _moment(dist.other, 2 * q) + mu * _moment(dist.single_other, 2 * q)
    one_class = (own / k + present * other) * dist.fade ** (2 * q * torch.arange(dist.views, dtype=torch.float64))
    useful = one_class.repeat(k)
    if not dist.background:
        return useful
    return torch.cat([useful, torch.tensor([dist.background ** (2 * q)], dtype=torch.float64)])


def leader_shares(rate: Tensor, q: int, points: int = 4000) -> Tensor:
    """S_f of every direction, given the rates ρ_f up to a common factor; sums to 1 - 2^-len(rate)."""
    reach = rate ** (1 / (2 * q - 2))
    y = (torch.arange(points, dtype=torch.float64) + 0.5) * (8.0 / points)
    density = (-0.5 * y.square()).exp() / sqrt(2 * pi) * (8.0 / points)
    below = 0.5 * (1 + torch.erf(y[:, None, None] * reach[:, None] / reach[None, :] / sqrt(2)))
    below.diagonal(dim1=1, dim2=2).fill_(1.0)
    return (density[:, None] * below.prod(2)).sum(0)


def useful_coverage(dist: Distribution, q: int, kernels: int) -> float:
    """Share of the features of classes that lead some kernel once every kernel has its first: 1 - (1 - S_f)^K."""
    shares = leader_shares(rates(dist, q), q)[: dist.features]
    return float((1 - (1 - shares) ** kernels).mean())


def _binomial(n: int, p: float) -> list[float]:
    chances = [1.0]
    for _ in range(n):
        chances = [a * (1 - p) + b * p for a, b in zip([*chances, 0.0], [0.0, *chances], strict=True)]
    return chances


def _moment(bounds: Range, power: int) -> float:
    """E z^power for z uniform on [low, high]."""
    low, high = bounds
    if high - low < 1e-12:
        return float(low**power)
    return (high ** (power + 1) - low ** (power + 1)) / ((power + 1) * (high - low))

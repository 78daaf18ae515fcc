"""The encoder's activation: smoothed ReLU, and patch-wise responses.

    σ(z) = 0 for z <= 0;   z^q / (q ϱ^(q-1)) on [0, ϱ];   z - (1 - 1/q) ϱ above.

σ, σ' are continuous: at z = ϱ the middle branch is ϱ/q = ϱ - (1 - 1/q) ϱ, and its slope (z/ϱ)^(q-1) is 1. With α =
z/ϱ and m = clip(α, 0, 1) both branches are one expression, σ = ϱ (m^q / q + max(α - 1, 0)) and σ' = m^(q-1): no case
distinction.

Source: Allen-Zhu & Li 2020, "smoothed ReLU"; arXiv 2206.03826, section 3.
"""

import torch
from torch import Tensor


def activation(z: Tensor, q: int, threshold: float) -> Tensor:
    """σ(z), any shape."""
    alpha = z / threshold
    m = alpha.clamp(0, 1)
    power = m.square().square() if q == 4 else m**q
    return threshold * (power / q + (alpha - 1).clamp_min(0))


def slope(z: Tensor, q: int, threshold: float) -> Tensor:
    """σ'(z) = clip(z/ϱ, 0, 1)^(q-1), any shape."""
    return (z / threshold).clamp(0, 1) ** (q - 1)


def responses(weights: Tensor, x: Tensor, q: int, threshold: float) -> Tensor:
    """h_r(X) = Σ_p σ(⟨w_r, x_p⟩).

    Args:
        weights: (K, d).
        x: patches (N, P, d).

    Returns:
        (N, K).
    """
    n, p, _d = x.shape
    block = max(1, (1 << 20) // (p * weights.shape[0]))
    parts = [activation(chunk @ weights.T, q, threshold).sum(1) for chunk in x.split(block)]
    return torch.cat(parts) if parts else x.new_zeros(n, weights.shape[0])


def power(base: Tensor, exponent: int, out: Tensor) -> Tensor:
    """base^exponent for exponent >= 1, into `out` (not an alias of base); torch's own pow is slow from 4 on."""
    if exponent <= 3:
        return torch.pow(base, exponent, out=out)
    torch.pow(base, 3, out=out)
    for _ in range(exponent - 3):
        out.mul_(base)
    return out


def silence(q: int, dtype: torch.dtype) -> float:
    """α below which a patch counts as silent: rounding, 100 ε, from which features absent from a kernel would
    grow; or where α^(2q-1), the smallest product of it in a force, is a denormal number (20 times slower).
    """
    kind = torch.finfo(dtype)
    return max(100 * kind.eps, float((1e3 * kind.tiny) ** (1 / (2 * q - 1))))


def branches(alpha: Tensor, q: int, m: Tensor, slope: Tensor) -> Tensor:
    """φ(α) in place of α >= 0, with max(α - 1, 0) = α - m; writes m = min(α, 1) and σ' = m^(q-1). Returns φ = σ/ϱ."""
    power(torch.clamp(alpha, max=1.0, out=m), q - 1, out=slope)
    return alpha.sub_(m).addcmul_(m, slope, value=1.0 / q)

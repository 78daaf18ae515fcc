"""The Jacobian of the MRP force for the stiff integrator, in the feature basis.

With s'_p = σ'(a_p), t'_p = τ σ'(τ a_p) - b σ'(a_p), R = Σ_p σ(τ a_p) - b σ(a_p) and averages over samples:

    ∂f/∂w = b E Σ_p [σ''(a_p)(R - b x σ(a_p)) - b x s'_p²] x_p x_pᵀ  +  b E (Σ_p s'_p x_p)(Σ_p t'_p x_p)ᵀ.

The second term is exact here. The factor in brackets is large only on the patches that show what a kernel has
captured: the rows with the largest factors are taken exactly, for the rest only the diagonal. ROS2 keeps its order for
any matrix, so at most this costs step length.
"""

import torch
from torch import Tensor

from unmask.theory.teacher_student_loss import Objective

_BLOCK = 1 << 20
_SILENT = 1e-3
"""a/ϱ below which a patch is left out: the Jacobian need not be exact, and denormal products are slow."""


def mrp_jacobian(weights: Tensor, x: Tensor, obj: Objective, rows: int = 400) -> Tensor:
    """Approximate ∂force/∂w of every kernel; exact for rows >= N·P.

    Args:
        weights: (K, d) in the feature basis.
        x: (N, P, d) in the feature basis.
        obj: the objective.
        rows: patches of a kernel whose outer products are kept in full.

    Returns:
        (K, d, d).
    """
    n, p, d = x.shape
    chunk = max(1, _BLOCK // (n * max(p, d)))
    flat = x.reshape(-1, d)
    square = flat.square()
    return torch.cat([_chunk(w, x, flat, square, obj, min(rows, n * p)) for w in weights.split(chunk)])


def _chunk(weights: Tensor, x: Tensor, flat: Tensor, square: Tensor, obj: Objective, rows: int) -> Tensor:
    n, p, _ = x.shape
    alpha = torch.threshold_(flat @ (weights / obj.threshold).T, _SILENT, 0.0)
    own, pull, curvature = _factors(alpha.view(n, p, -1), obj)
    left = torch.bmm(own.transpose(1, 2), x).permute(1, 2, 0)
    right = torch.bmm(pull.transpose(1, 2), x).permute(1, 0, 2)
    out = torch.bmm(left, right)
    curvature = curvature.reshape(n * p, -1).T.contiguous()
    index = curvature.abs().topk(rows, dim=1, sorted=False).indices
    kept = curvature.gather(1, index)
    patches = flat[index]
    out.baddbmm_(patches.transpose(1, 2), patches * kept[:, :, None])
    rest = curvature.scatter(1, index, 0.0)
    out.diagonal(dim1=1, dim2=2).add_(rest @ square)
    return out.mul_(obj.gain / n)


def _factors(alpha: Tensor, obj: Objective) -> tuple[Tensor, Tensor, Tensor]:
    """s', t' and the bracket of every patch, each (N, P, K); alpha = a / ϱ."""
    q, tau, b, x = obj.power, obj.teacher_scale, obj.gain, obj.mask_excess
    m, mt = alpha.clamp(0, 1), (tau * alpha).clamp(0, 1)
    own, seen = m ** (q - 1), mt ** (q - 1)
    phi = m * own / q + (alpha - 1).clamp_min(0)
    total = (mt * seen / q + (tau * alpha - 1).clamp_min(0) - b * phi).sum(1, keepdim=True)
    bend = (q - 1) * torch.where((alpha > 0) & (alpha < 1), m ** (q - 2), 0.0)
    curvature = bend * (total - b * x * phi) - b * x * own.square()
    return own, tau * seen - b * own, curvature

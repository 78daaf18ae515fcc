"""How many directions the features of an encoder use: collapse monitors.

Letters: N images, D features.
"""

import torch


def effective_rank(features: torch.Tensor) -> float:
    """RankMe of features (N, D): exp of the entropy of the singular values, as shares of their sum.

    exp(-Σ_k p_k log p_k), p_k = σ_k / Σ_j σ_j (Garrido et al., "RankMe", ICML 2023, eq. 1, without the ε there, which
    only guards log 0). The features are not centered: constant features have rank 1, features that are all zero rank 0.

    Returns:
        A number in [1, min(N, D)], or 0 for zero features; NaN if a feature is not finite.
    """
    if not torch.isfinite(features).all():
        return float("nan")
    sigma = torch.linalg.svdvals(features.detach().double())
    total = sigma.sum()
    if total == 0:
        return 0.0
    shares = sigma / total
    return float(torch.exp(torch.special.entr(shares).sum()))


def feature_std(features: torch.Tensor) -> float:
    """Mean over the D features (N, D) of their standard deviation over the N images (divided by N): 0 is collapse."""
    return float(features.detach().double().std(dim=0, correction=0).mean())


def is_collapsed(effective_rank: float, feature_std: float) -> bool:
    """Whether an encoder has collapsed: all images have (nearly) the same features, or differ along one line only."""
    return not (effective_rank >= 1.1 and feature_std > 1e-6)

"""How many directions the features of a stage use, and which units are dead: signs of collapse.

Letters: N images, D features.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from unmask.evaluate.rank import effective_rank, feature_std

_STILL = 1e-6
"""A unit that varies less than this share of the most variable one counts as dead: rounding, not signal."""


@dataclass(frozen=True)
class Health:
    """Health of the features of one stage, averaged over positions."""

    features: int
    """D."""
    images: int
    """N."""
    effective_rank: float
    """RankMe, not centered: at most min(N, D)."""
    centered_rank: float
    """The same after subtracting the mean over the images: the mean alone can hold most of the spectrum."""
    feature_std: float
    """Mean over the features of their standard deviation over the images."""
    dead: float
    """Share of units whose value is the same on all images."""
    spectrum: tuple[float, ...]
    """Singular values of the centered features as shares of their sum, largest first."""


def health(pooled: Tensor) -> Health:
    """Health of features pooled over positions, (N, D)."""
    features = pooled.detach().double()
    centered = features - features.mean(0)
    sigma = torch.linalg.svdvals(centered)
    total = float(sigma.sum())
    shares = sigma / total if total > 0 else sigma
    return Health(
        features=features.shape[1],
        images=features.shape[0],
        effective_rank=effective_rank(features),
        centered_rank=effective_rank(centered),
        feature_std=feature_std(features),
        dead=float(dead_units(features).double().mean()),
        spectrum=tuple(float(share) for share in shares),
    )


def dead_units(pooled: Tensor) -> Tensor:
    """Which of D units have (nearly) the same value on all images: (N, D) → bool (D,)."""
    spread = pooled.amax(0) - pooled.amin(0)
    return spread <= _STILL * spread.amax()

"""How far two networks agree: in their features, in their captured parts, and in the gain from averaging them.

Letters: N images, D and E features, P parts, S networks, K classes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def linear_cka(x: Floats, y: Floats, *, debiased: bool = False) -> float:
    """Linear centered kernel alignment of two sets of features of the same images.

    CKA = ‖Yᵀ X‖²_F / (‖Xᵀ X‖_F ‖Yᵀ Y‖_F) with centered columns (Kornblith et al., "Similarity of Neural Network
    Representations Revisited", ICML 2019, section 3). 1 for features equal up to rotation, scale and shift. With few
    images for many features it is large even for unrelated features; `debiased` replaces each of the three terms by
    the unbiased estimate of HSIC (Song et al., JMLR 2012, eq. 5): about 0 for unrelated features, possibly slightly
    negative.

    Args:
        x: (N, D).
        y: (N, E).
        debiased: needs N >= 4.

    Returns:
        NaN if one of them is constant.
    """
    x, y = x - x.mean(0), y - y.mean(0)
    if not debiased:
        cross, scale = np.square(y.T @ x).sum(), np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
        return float(cross / scale) if scale > 0 else float("nan")
    k, m = x @ x.T, y @ y.T
    own = _unbiased_hsic(k, k) * _unbiased_hsic(m, m)
    return float(_unbiased_hsic(k, m) / np.sqrt(own)) if own > 0 else float("nan")


def _unbiased_hsic(k: Floats, m: Floats) -> float:
    """Song et al. 2012, eq. 5, up to its constant factor: kernels without their diagonals."""
    n = len(k)
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    rows = k.sum(0) @ m.sum(0)
    return float((k * m).sum() + k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 * rows / (n - 2))


@dataclass(frozen=True)
class Overlap:
    """Whether two networks captured the same parts."""

    both: int
    """Parts captured by both."""
    expected: float
    """Expected by chance alone: |A| |B| / P."""
    jaccard: float | None
    """|A ∩ B| / |A ∪ B|; None if neither captured anything."""
    kappa: float | None
    """Cohen's kappa: agreement beyond chance, 0 by chance, 1 for equal sets; None if one captured all or none."""
    p_value: float
    """Probability of at least this many common parts if the two had captured independently (hypergeometric)."""


def overlap(a: Bools, b: Bools) -> Overlap:
    """Compare the parts captured by two networks, (P,) each."""
    total, in_a, in_b, both = len(a), int(a.sum()), int(b.sum()), int((a & b).sum())
    expected, either = in_a * in_b / total, in_a + in_b - both
    agree, chance = float((a == b).mean()), (in_a * in_b + (total - in_a) * (total - in_b)) / total**2
    varied = 0 < in_a < total and 0 < in_b < total
    return Overlap(
        both=both,
        expected=expected,
        jaccard=both / either if either else None,
        kappa=(agree - chance) / (1 - chance) if varied else None,
        p_value=float(stats.hypergeom.sf(both - 1, total, in_a, in_b)),
    )


@dataclass(frozen=True)
class EnsembleGap:
    """The gain from averaging the probabilities of several networks over one of them."""

    single: float
    """Mean accuracy of the single networks."""
    ensemble: float
    """Accuracy of the averaged probabilities."""

    gap: float
    """The second minus the first: near 0 if every network captured every feature, large if each knows others."""


def ensemble_gap(probabilities: Floats, labels: Ints) -> EnsembleGap:
    """Accuracy of the average of S networks (S, N, K), and of one of them (Allen-Zhu & Li 2020, section 1)."""
    alone = (probabilities.argmax(2) == labels).mean()
    together = (probabilities.mean(0).argmax(1) == labels).mean()
    return EnsembleGap(float(alone), float(together), float(together) - float(alone))

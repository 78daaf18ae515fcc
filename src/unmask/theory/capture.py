"""What a set of kernels has captured: correlations, leaders, captured features, purity, views per class.

A feature f is captured by kernel r when ⟨w_r, v_f⟩ reaches the capture level: half of the smallest fixed point there
is, a* = ϱ/τ (the transition is first order: below ϱ/τ no fixed point exists), on a patch of the mean own strength,

    level = ϱ / (2 τ z̄),   z̄ = mean own sum / C_p.
"""

import torch
from torch import Tensor

from unmask.theory.setting import Setting


def own_strength(setting: Setting) -> float:
    """z̄: mean strength of an own view on one of its patches (of the first view if views differ)."""
    return 0.5 * sum(setting.data.own) / setting.data.patches_per_feature


def capture_level(setting: Setting) -> float:
    """⟨w, v⟩ from which a feature counts as captured."""
    return 0.5 * setting.threshold / (max(setting.teacher_scale, 1.0) * own_strength(setting))


def levels(setting: Setting, directions: int) -> Tensor:
    """(directions,) float64: ⟨w, v⟩ from which each direction counts as captured, by its own mean strength."""
    data = setting.data
    relative = (data.fade ** torch.arange(data.views, dtype=torch.float64)).repeat(data.classes)
    if data.background:
        relative = torch.cat([relative, torch.tensor([data.background / own_strength(setting)])])
    return capture_level(setting) / relative[:directions]


def clock(correlation: Tensor, setting: Setting) -> Tensor:
    """κ = dt/ds of a kernel, (B,): (ϱ/g)^(2q-2) with g a smooth maximum of the positive correlations (B, F).

    g is bounded below by a tenth of σ0, so a kernel that nothing drives still has a finite clock.
    """
    q = setting.power
    scaled = correlation.double().clamp_min(0.0) / setting.threshold
    top = scaled.amax(1).clamp_min(0.1 * setting.init_scale / setting.threshold)
    g = top * (scaled / top[:, None]).pow(2 * q).sum(1).clamp_min(1.0).pow(1 / (2 * q))
    return g.pow(2 - 2 * q)


def captured(correlation: Tensor, setting: Setting) -> Tensor:
    """(..., K, F) bool: feature captured by kernel."""
    return correlation >= levels(setting, correlation.shape[-1]).to(correlation.dtype)


def coverage(held: Tensor) -> Tensor:
    """(...,): share of features that some kernel has captured; held (..., K, F) bool."""
    return held.any(-2).float().mean(-1)


def features_per_kernel(held: Tensor) -> Tensor:
    """(...,): mean number of captured features of the kernels that captured any (NaN if none did)."""
    number = held.sum(-1).float()
    return number.sum(-1) / (number > 0).sum(-1)


def purity(held: Tensor) -> Tensor:
    """(...,): share of the kernels with any captured feature that have exactly one (NaN if none captured any)."""
    number = held.sum(-1)
    return (number == 1).sum(-1) / (number > 0).sum(-1)


def views_per_class(held: Tensor, views: int) -> Tensor:
    """(..., k): number of a class's views that some kernel has captured; held (..., K, F)."""
    return held.any(-2).unflatten(-1, (-1, views)).sum(-1)


def own_held(correlation: Tensor, setting: Setting) -> Tensor:
    """(..., K, F) bool: features captured by kernels of their own class, as SL's fixed head uses them."""
    kernel_class = torch.arange(setting.kernels) // setting.kernels_per_class
    feature_class = torch.arange(setting.data.features) // setting.data.views
    return captured(correlation, setting) & (kernel_class[:, None] == feature_class)


def winners(start: Tensor) -> Tensor:
    """(..., K): the feature with the largest initial correlation; start (..., K, F)."""
    return start.argmax(-1)

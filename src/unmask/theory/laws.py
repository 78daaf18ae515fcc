"""Closed forms: fixed points, critical mask ratios, the one-feature equation and the occupancy law.

M features that always occur together, each on C_p equal patches, at equal correlation (M = 1: one feature alone). With
a = ⟨w, v⟩ z on each patch h = M C_p σ(a), the mask adds b x σ(a) on each patch, and the force along each v is

    b C_p z σ'(a) [M C_p σ(τa) - b M C_p σ(a) - b x σ(a)] = b M C_p² z σ'(a) [σ(τa) - B σ(a)],   B = b (1 + x/(M C_p)),

x = (1-θ)/θ. Hence
- from a → 0 both powers are τ^q a^q and B a^q: it grows iff B < τ^q; for a → ∞ both are linear: finite iff B > τ;
- with both σ linear, τa - c = B (a - c), c = (1 - 1/q) ϱ: a* = c (B-1)/(B-τ), valid while a* >= ϱ iff B <= 1 + q(τ-1);
- above, σ(a) is a power and σ(τa) linear: B a^q/(q ϱ^(q-1)) = τ a - c on [ϱ/τ, ϱ], a convex against a linear function
  with one crossing.
  At B = τ^q the root is a* = ϱ/τ > 0: first order. B falls to b as M grows: a kernel stays finite whatever it holds
  only if b > τ, and a feature that is finite alone may run away together with another.
"""

from dataclasses import dataclass
from math import erfc, sqrt

import torch
from torch import Tensor

from unmask.theory.capture import levels
from unmask.theory.sampling import Samples
from unmask.theory.setting import Setting
from unmask.theory.teacher_student_loss import Objective, force


def fixed_point(q: int, threshold: float, tau: float, gain: float) -> float:
    """a* of one feature alone with effective gain B = `gain`: 0 if nothing grows, inf if nothing stops it."""
    if gain >= tau**q:
        return 0.0
    if gain <= tau:
        return float("inf")
    c = (1 - 1 / q) * threshold
    if gain <= 1 + q * (tau - 1):
        return c * (gain - 1) / (gain - tau)
    low, high = threshold / tau, threshold
    for _ in range(60):
        a = 0.5 * (low + high)
        inside = gain * a**q / (q * threshold ** (q - 1)) < tau * a - c
        low, high = (a, high) if inside else (low, a)
    return 0.5 * (low + high)


def critical_mask_ratio(q: int, tau: float, gain: float, support: float) -> float:
    """Mask ratio at which growth from small weights ends: x = support (τ^q/b - 1), ratio = x/(1+x), 0 if τ^q <= b.

    Args:
        q: power of σ.
        tau: teacher scale.
        gain: b.
        support: M C_p for M features that always occur together on equal patches; `support_of` for random strengths.
    """
    x = support * (tau**q / gain - 1)
    return x / (1 + x) if x > 0 else 0.0


def support_of(samples: Samples, members: Tensor, q: int) -> float:
    """The factor that replaces M C_p when strengths are random: E (Σ_p z_p^q)² / E Σ_p z_p^(2q), sums over all
    patches of `members`.

    At order w^(2q-1) the force along the members, at equal correlation, is b ϱ^(2-2q)/q E Σ_p z_p^q [(τ^q - b) Σ_p'
    z_p'^q - b x z_p^q]; it vanishes at x = (τ^q/b - 1) E(Σ z^q)²/E Σ z^(2q). For one feature on one patch this is 1
    whatever the strengths.
    """
    z = samples.strength[:, members].flatten(1).double()
    return float(z.pow(q).sum(1).square().mean() / z.pow(2 * q).sum(1).mean())


@dataclass(frozen=True)
class OneFeature:
    """The one-feature equation dw/dt = φ_f(w) of every feature, solved once: capture time as a function of start."""

    start: Tensor
    """(G,) increasing starts w(0) > 0, float64."""
    time: Tensor
    """(F, G) capture times; inf where the feature does not grow from there."""

    def capture_times(self, correlation: Tensor) -> Tensor:
        """Capture time of each entry of `correlation` (..., F), interpolating log t in log w; inf for starts below the
        grid. A start above the capture level is captured immediately: its time is minus the correlation, so that of
        several the largest comes first, as in the flow.
        """
        log_w = self.start.log()
        step = log_w[1] - log_w[0]
        at = (correlation.double().clamp_min(1e-300).log() - log_w[0]) / step
        left = at.floor().clamp(0, len(log_w) - 2).long()
        log_t = self.time.clamp_min(1e-300).log()
        column = torch.arange(self.time.shape[0]).expand(correlation.shape)
        low, high = log_t[column, left], log_t[column, left + 1]
        value = (low + (at - left) * (high - low)).exp()
        value = torch.where(low.isinf() & (low > 0), torch.inf, value)
        return torch.where(at < 0, torch.inf, torch.where(at > len(log_w) - 1, -correlation.double(), value))

    def threshold_at(self, when: float) -> Tensor:
        """w*(T), (F,): the start that is captured exactly at T (largest grid start if T is too early)."""
        log_t = self.time.log().flip(1)
        log_w = self.start.log().flip(0)
        target = torch.full((len(log_t), 1), float(torch.tensor(when).log()), dtype=torch.float64)
        right = torch.searchsorted(log_t.contiguous(), target).clamp(1, log_t.shape[1] - 1)
        t0, t1 = log_t.gather(1, right - 1), log_t.gather(1, right)
        u = ((target - t0) / (t1 - t0)).clamp(0, 1).nan_to_num(0.0)
        return (log_w[right - 1] + u * (log_w[right] - log_w[right - 1])).exp()[:, 0]

    def chance(self, when: float, init_scale: float) -> Tensor:
        """p_f(T) = Pr(⟨w(0), v_f⟩ > w*_f(T)), (F,)."""
        w = self.threshold_at(when)
        return torch.tensor([0.5 * erfc(float(v) / (init_scale * sqrt(2))) for v in w], dtype=torch.float64)


def kernel_law(law: OneFeature, when: float, init_scale: float) -> tuple[float, float]:
    """Contents of a kernel that holds any feature at T, if features are captured independently, each with p_f(T).

    Their number is Poisson-binomial: with S = 1 - Π (1 - p_f),

        mean number = Σ p_f / S,        share with exactly one (purity) = Σ_f p_f Π_{g≠f} (1 - p_g) / S.

    With equal p and λ = F p both depend only on λ, about λ/(1 - e^-λ) and λ/(e^λ - 1). Full coverage needs
    p ≈ ln(1/miss)/K, so λ ≈ L ln(1/miss)/m: only more kernels per class raise purity at full coverage.

    Returns:
        (mean number of features, purity), (1, 1) in the limit p → 0.
    """
    p = law.chance(when, init_scale)
    none = torch.log1p(-p).sum()
    some = float(-torch.expm1(none))
    if some <= 0:
        return 1.0, 1.0
    return float(p.sum()) / some, float((p / (1 - p)).sum() * none.exp()) / some


def one_feature(samples: Samples, v: Tensor, setting: Setting, points: int = 200) -> OneFeature:
    """Solve the one-feature equation on the drawn samples: t(w0) = ∫_{w0}^{level} dw / φ_f(w).

    φ_f(w) = ⟨force(w v_f), v_f⟩ is the exact force of a kernel that consists only of v_f; no closed form of σ is used.

    Args:
        samples: the samples of pretraining.
        v: features (F, d), followed by the background's direction if it counts.
        setting: the setting.
        points: grid of starts, logarithmic from σ0/50 to the capture level.
    """
    obj, ends = Objective.of(setting), levels(setting, len(v))
    low = setting.init_scale / 50
    grid = torch.logspace(0, 1, points, base=float(ends.max()) / low, dtype=torch.float64) * low
    x = samples.x.double()
    directions = v.double()
    weights = (grid[:, None, None] * directions).flatten(0, 1)
    pull = torch.cat([force(part, x, obj) for part in weights.split(2000)]).view(points, *directions.shape)
    phi = (pull * directions).sum(-1).T
    rate = (phi > 0) * phi.clamp_min(1e-300)
    integrand = grid / rate.where(rate > 0, torch.tensor(1.0, dtype=torch.float64))
    integrand = torch.where(rate > 0, integrand, torch.inf)
    step = (grid[1] / grid[0]).log()
    # in log w the integrand is nearly a power law: integrate it exactly as one between the grid points
    ratio = (integrand[:, :-1] / integrand[:, 1:]).log().nan_to_num(0.0, posinf=0.0, neginf=0.0)
    mean = torch.where(ratio.abs() < 1e-6, integrand[:, 1:], integrand[:, 1:] * torch.expm1(ratio) / ratio)
    pieces = torch.where(integrand[:, :-1].isinf(), torch.inf, mean * step)
    short = (ends[:, None] / grid[:-1]).log() / step  # of the piece in which a stronger feature's level lies
    pieces = torch.where(short >= 1 - 1e-9, pieces, torch.where(short <= 0, 0.0, pieces * short))
    time = torch.zeros_like(rate)
    time[:, :-1] = pieces.flip(1).cumsum(1).flip(1)
    return OneFeature(grid, time)

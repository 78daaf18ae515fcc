"""Finite steps and minibatches: when gradient descent stays at the fixed point reached by the flow.

One feature on C_p equal patches of strength 1, shown by a share π of the samples, at its fixed point a*. The force
along v is π b C_p² σ'(a) [σ(τa) - B σ(a)], so near a* a deviation δ is multiplied per step η by 1 - η h with

    h = π b C_p² σ'(a*) [B σ'(a*) - τ σ'(τa*)],

and descent stays there iff **η < 2/h**. On every sample that shows the feature the force vanishes at a*, so
minibatches add no noise there, but a random number J ~ Binomial(n, π) of the n samples of a batch shows the feature:
δ is multiplied by 1 - η h J/(π n), and stays bounded (almost surely) iff

    Λ(η) = Σ_j Pr(J = j) ln |1 - η h j/(π n)| < 0.

For n = 1 this is η < 2π/h: **batches of one need steps smaller by the frequency of the feature**; for n → ∞ it is 2/h.
"""

from math import comb, log


def curvature(q: int, threshold: float, tau: float, gain: float, reach: float, share: float, scale: float) -> float:
    """h above. gain is B, reach a*, share π, scale b C_p²."""
    own = min(reach / threshold, 1.0) ** (q - 1)
    seen = min(tau * reach / threshold, 1.0) ** (q - 1)
    return share * scale * own * (gain * own - tau * seen)


def growth_exponent(step: float, h: float, share: float, batch: int) -> float:
    """Λ(η): mean logarithm by which a deviation grows in one step of batches of n drawn with replacement."""
    total = 0.0
    for j in range(batch + 1):
        chance = comb(batch, j) * share**j * (1 - share) ** (batch - j)
        factor = abs(1 - step * h * j / (share * batch))
        total += chance * log(max(factor, 1e-300))
    return total


def largest_step(h: float, share: float, batch: int) -> float:
    """The step beyond which the growth exponent is never below 0: the largest root of Λ, 2/h for full data.

    Λ has dips at the steps that land exactly on the fixed point, so it is searched from above.
    """
    high = 4.0 / h
    while growth_exponent(high, h, share, batch) > 0 and high > 1e-12:
        high *= 0.999
    return high

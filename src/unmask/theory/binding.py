"""Binding: how long a captured feature takes to draw a co-occurring one into its kernel, and the resulting ends of
the useful mask ratio.

A kernel holds one feature at its fixed point a*, on C_p equal patches. There σ(τa*) = B σ(a*), B = b (1 + x g/C_p) for
masks that hide g patches of a feature together (`block_masks`; g = 1: each on its own). The teacher is not matched on
what is hidden: ĥ - b h = C_p (σ(τa*) - b σ(a*)) = b x g σ(a*) > 0 remains on every sample that shows the feature. It
pulls at any other feature of the same sample: with a correlation w so small that it adds nothing to this residual,

    dw/dt = r (w/ϱ)^(q-1),    r = π b² x g C_p σ(a*),    π: share of samples that show both,
    t(w0 → w1) = ϱ^(q-1) (w0^(2-q) - w1^(2-q)) / ((q-2) r).

So binding is faster than a feature's own growth, w0^-(q-2) against w0^-(2q-2), and needs x > 0. By a time T after its
capture a partner of start w0 is bound iff x is at least the root of t = T: a **lower end** of the mask ratio for
everything about a class that is known only through co-occurrence. Its **upper end** is where the first feature no
longer grows, x = C_p (τ^q/b - 1)/g.
"""

from unmask.theory.laws import critical_mask_ratio, fixed_point


def smoothed(a: float, q: int, threshold: float) -> float:
    """σ(a) of one number."""
    if a >= threshold:
        return a - (1 - 1 / q) * threshold
    return max(a, 0.0) ** q / (q * threshold ** (q - 1))


def binding_time(
    start: float, end: float, *, q: int, threshold: float, tau: float, gain: float, excess: float,
    together: float, patches: int = 1, block: int = 1,
) -> float:  # fmt: skip
    """Time in which a partner's correlation goes from `start` to `end`; inf if nothing drives it.

    Args:
        start: w0 > 0.
        end: w1 > w0, usually the capture level.
        q: power of σ, above 2.
        threshold: ϱ.
        tau: teacher scale.
        gain: b.
        excess: x = (1-θ)/θ.
        together: π, share of samples that show both features.
        patches: C_p.
        block: g, patches of a feature that are hidden together.
    """
    reach = fixed_point(q, threshold, tau, gain * (1 + excess * block / patches))
    rate = together * gain**2 * excess * block * patches * smoothed(reach, q, threshold)
    if rate <= 0 or reach == float("inf"):
        return float("inf")
    return threshold ** (q - 1) * (start ** (2 - q) - end ** (2 - q)) / ((q - 2) * rate)


def mask_range(
    when: float, start: float, end: float, *, q: int, threshold: float, tau: float, gain: float,
    together: float, patches: int = 1, block: int = 1,
) -> tuple[float, float]:  # fmt: skip
    """(lower, upper) mask ratio between which a partner of start w0 is bound by the time `when` after capture.

    The residual x σ(a*(x)) rises from 0 and falls towards the upper end, at which a* is still ϱ/τ: the lower end is
    the first ratio at which the time suffices. If none does, both are the upper end.
    """
    upper = critical_mask_ratio(q, tau, gain, patches / block)

    def late(ratio: float) -> bool:
        """Whether binding at this mask ratio takes longer than `when`."""
        x = ratio / (1 - ratio)
        taken = binding_time(
            start, end, q=q, threshold=threshold, tau=tau, gain=gain, excess=x, together=together, patches=patches,
            block=block,
        )  # fmt: skip
        return taken > when

    grid = [upper * i / 400 for i in range(1, 400)]
    return next((ratio for ratio in grid if not late(ratio)), upper), upper

"""A teacher that lags behind: w̄' = λ (w - w̄), the moving average of data2vec in continuous time.

One feature on C_p equal patches, a = ⟨w, v⟩ z, ā the teacher's, κ = π b C_p² z² (π: share of samples that show it):

    a' = κ σ'(a) [σ(τā) - B σ(a)],    ā' = λ (a - ā).

At rest ā = a: **the fixed points are those without a lag, and so is the window** B < τ^q (a growing a has ā ≤ a, and
far from a blow-up ā follows). What changes is the end of growth. Below ϱ/τ, with r = ā/a and A = κ (a/ϱ)^(2q-2)/q,

    a'/a = A (τ^q r^q - B),    r' = λ (1 - r) - r a'/a.

While A ≪ λ the teacher keeps up and growth is the power law. Once A ≫ λ, r falls until τ^q r^q = B nearly balances, and
growth is **exponential at the rate λ (τ B^(-1/q) - 1)** whatever a: the teacher paces the student. The time it costs is
ln(ϱ/τa_c)/that rate from the size a_c at which A = λ on.
"""

from collections.abc import Iterator

from unmask.theory.binding import smoothed


def paced_rate(q: int, tau: float, gain: float, lag_rate: float) -> float:
    """λ (τ B^(-1/q) - 1): growth of a feature that waits for its teacher. gain is B, lag_rate is λ."""
    return lag_rate * (tau * gain ** (-1 / q) - 1)


def follow(
    start: float, *, q: int, threshold: float, tau: float, gain: float, lag_rate: float, end: float, kappa: float = 1.0
) -> Iterator[tuple[float, float, float]]:
    """(t, a, ā) from a = ā = start up to t = end, fourth-order Runge-Kutta with steps of 5 % of the fastest change.

    Args:
        start: a(0).
        q: power of σ.
        threshold: ϱ.
        tau: teacher scale.
        gain: B.
        lag_rate: λ.
        end: last time.
        kappa: κ.
    """

    def rates(a: float, teacher: float) -> tuple[float, float]:
        slope = min(max(a / threshold, 0.0), 1.0) ** (q - 1)
        gap = smoothed(tau * teacher, q, threshold) - gain * smoothed(a, q, threshold)
        return kappa * slope * gap, lag_rate * (a - teacher)

    def stiffness(a: float) -> float:
        slope = min(max(a / threshold, 0.0), 1.0) ** (q - 1)
        bend = (q - 1) * min(max(a / threshold, 0.0), 1.0) ** (q - 2) / threshold
        return kappa * (gain * slope**2 + bend * gain * smoothed(a, q, threshold)) + lag_rate

    t, a, teacher = 0.0, start, start
    yield t, a, teacher
    while t < end:
        fast = max(stiffness(a), abs(rates(a, teacher)[0]) / a)
        h = min(0.2 / fast, end - t)
        k1 = rates(a, teacher)
        k2 = rates(a + h / 2 * k1[0], teacher + h / 2 * k1[1])
        k3 = rates(a + h / 2 * k2[0], teacher + h / 2 * k2[1])
        k4 = rates(a + h * k3[0], teacher + h * k3[1])
        a += h / 6 * (k1[0] + 2 * k2[0] + 2 * k3[0] + k4[0])
        teacher += h / 6 * (k1[1] + 2 * k2[1] + 2 * k3[1] + k4[1])
        t += h
        yield t, a, teacher

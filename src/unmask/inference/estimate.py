"""The mean of independent units and its uncertainty: Student's t below ten units, bootstrap from ten on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from unmask.errors import UserError
from unmask.inference.variance import Component
from unmask.runs.records import Interval

BOOTSTRAP_FROM = 10
_RESAMPLES = 10_000


@dataclass(frozen=True)
class Units:
    """What a mean is over: numbers of pretrainings, label draws and test images; 0 if it is not over any."""

    pretrainings: int
    draws: int
    images: int
    pairs: int = 0
    """Trials, or pairs of trials."""
    grouped: bool = False
    """Whether the test images are groups of images, each counted once."""
    evaluated: str = "test images"
    """The test images, in words."""

    @property
    def sampled(self) -> str:
        """What the test set is a sample of: "test images" or "test groups"."""
        return self.evaluated.replace("images", "groups") if self.grouped else self.evaluated


@dataclass(frozen=True)
class Estimate:
    """A mean with all that is needed to test it.

    `error` is the standard error, None for a single unit or units without spread; `freedom` its degrees of freedom;
    `resampled` the sorted means of bootstrap samples, None if Student's t is used; `units` what the mean is over and
    `components` the parts of its variance, if the units are trials of a comparison.
    """

    mean: float
    n: int
    method: str
    error: float | None
    freedom: float
    resampled: NDArray[np.float64] | None = None
    units: Units | None = None
    components: tuple[Component, ...] = ()


def estimate_mean(values: Sequence[float] | NDArray[np.float64], seed: int = 0) -> Estimate:
    """Estimate the mean of independent units, shape (n,).

    Units that are all equal say nothing about the spread (scores are counts, and few units of a small test set tie
    easily): they get no standard error rather than a standard error of zero.

    Raises:
        UserError: there is no value, or one is not finite.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.size == 0 or not np.isfinite(x).all():
        raise UserError(f"an interval needs finite values, found {x.tolist()}")
    n, mean = int(x.size), float(x.mean())
    if n == 1:
        return Estimate(mean, 1, "single", None, 0.0)
    if np.ptp(x) <= 1e-12 * max(1.0, abs(mean)):
        return Estimate(mean, n, "no spread", None, n - 1.0)
    error = float(x.std(ddof=1) / math.sqrt(n))
    if n < BOOTSTRAP_FROM:
        return Estimate(mean, n, "paired t", error, n - 1.0)
    picks = np.random.default_rng(seed).integers(0, n, size=(_RESAMPLES, n))
    return Estimate(mean, n, "bootstrap", error, n - 1.0, np.sort(x[picks].mean(axis=1)))


def interval_of(estimate: Estimate, confidence: float) -> Interval:
    """Two-sided confidence interval.

    Student's t: mean ± t error. Bootstrap: the expanded percentile interval (Hesterberg, "What Teachers Should Know
    About the Bootstrap", The American Statistician 69, 2015): quantiles at Φ(±t √(n / (n - 1))) instead
    of Φ(±z), which removes the plain percentile interval's undercoverage for small n.
    """
    if estimate.error is None:
        return Interval(estimate.mean, None, None, estimate.n, estimate.method)
    t = float(stats.t.ppf(0.5 + confidence / 2, estimate.freedom))
    if estimate.resampled is None:
        low, high = estimate.mean - t * estimate.error, estimate.mean + t * estimate.error
    else:
        share = stats.norm.cdf(t * _expansion(estimate.n))
        low, high = np.quantile(estimate.resampled, [1 - share, share])
    return Interval(estimate.mean, float(low), float(high), estimate.n, estimate.method)


def paired_interval(
    differences: Sequence[float] | NDArray[np.float64], confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Confidence interval of the mean of independent paired differences, shape (n,).

    n = 1: no interval (method "single"). All equal: no interval (method "no spread"). 2 ≤ n < 10: paired t.
    n ≥ 10: expanded percentile bootstrap of 10,000 resamples from `seed`.
    """
    return interval_of(estimate_mean(differences, seed), confidence)


def within(interval: Interval, low: float, high: float) -> Interval:
    """The interval cut to the values that the true mean can have, e.g. 0 to 1 for a share.

    Its coverage is unchanged: no true mean lies in the part that is cut off.
    """
    if interval.low is None or interval.high is None:
        return interval
    ends = [min(max(end, low), high) for end in (interval.low, interval.high)]
    return replace(interval, low=ends[0], high=ends[1])


def p_at_most(estimate: Estimate, threshold: float) -> float:
    """P-value of the hypothesis "the true mean is at most `threshold`": small if the mean is clearly above it.

    It is the inversion of `interval_of`'s lower end. Without a standard error nothing is rejected: 1.
    """
    if estimate.error is None:
        return 1.0
    if estimate.resampled is None:
        return float(stats.t.sf((estimate.mean - threshold) / estimate.error, estimate.freedom))
    below = float(np.searchsorted(estimate.resampled, threshold, side="right"))
    share = (below + 0.5) / (estimate.resampled.size + 1)
    return float(stats.t.cdf(stats.norm.ppf(share) / _expansion(estimate.n), estimate.freedom))


def p_at_least(estimate: Estimate, threshold: float) -> float:
    """P-value of the hypothesis "the true mean is at least `threshold`"."""
    return 1.0 if estimate.error is None else 1.0 - p_at_most(estimate, threshold)


def detectable_mean(estimate: Estimate, confidence: float, power: float = 0.8) -> float | None:
    """Smallest true mean that a two-sided t-test with this standard error finds with the given power.

    Solves P(|T| > t) = power for T noncentral t with noncentrality effect / error. None without a standard error.
    """
    if estimate.error is None:
        return None
    t, df = float(stats.t.ppf(0.5 + confidence / 2, estimate.freedom)), estimate.freedom
    low, high = 0.0, t + 40.0
    for _ in range(60):  # Bisection: the power rises with the noncentrality.
        middle = (low + high) / 2
        reached = stats.nct.sf(t, df, middle) + stats.nct.cdf(-t, df, middle)
        low, high = (middle, high) if reached < power else (low, middle)
    return high * estimate.error


def _expansion(n: int) -> float:
    return math.sqrt(n / (n - 1))

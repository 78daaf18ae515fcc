"""The occupancy law: kernels as balls, features as urns, with simultaneous bands over T and K.

Kernel r is first captured by the feature whose one-feature capture time from ⟨w_r(0), v_f⟩ ~ N(0, σ0²) is smallest.
By time T a kernel has a given leader with probability P(T)/F, P(T) = 1 - Π_f (1 - p_f(T)), so the share of features
that lead some kernel is 1 - (1 - P/F)^K on average (1 - (1-p)^K while p is small), and 1 - (1 - 1/F)^K once every
kernel has one. The bands are drawn from the law itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unmask.theory.laws import OneFeature
from unmask.theory.setting import Setting


@dataclass(frozen=True)
class Bands:
    """Simultaneous bands of a curve, and where a measured curve lies."""

    mean: Tensor
    low: Tensor
    high: Tensor
    critical: float
    """99 % quantile, under the law, of the largest standardized deviation over the whole curve."""
    spread: Tensor

    def deviation(self, measured: Tensor) -> float:
        """Largest standardized deviation of a measured curve."""
        return float(((measured - self.mean).abs() / self.spread).max())


def covered(time: Tensor, leader: Tensor, times: Tensor, counts: Sequence[int], features: int) -> Tensor:
    """Share of features that lead one of the first K' kernels by time T.

    Args:
        time: capture times (..., K).
        leader: features (..., K), ignored where time is infinite.
        times: (M,).
        counts: values of K'.
        features: F.

    Returns:
        (..., M, len(counts)) float64.
    """
    first = time.new_full((*time.shape[:-1], features), torch.inf)
    curves = []
    done = 0
    for count in counts:
        part = slice(done, count)
        first = first.scatter_reduce(-1, leader[..., part].clamp_min(0), time[..., part], "amin")
        curves.append((first[..., None, :] <= times[:, None]).double().mean(-1))
        done = count
    return torch.stack(curves, -1)


def coverage_bands(
    laws: Sequence[OneFeature],
    init_scale: float,
    times: Tensor,
    counts: Sequence[int],
    replicates: int = 400,
    seed: int = 0,
) -> Bands:
    """Bands of the coverage curve averaged over seeds, one law per seed, that of its own finite sample."""
    gen = torch.Generator().manual_seed(seed)
    total = torch.zeros(replicates, len(times), len(counts), dtype=torch.float64)
    for law in laws:
        f = law.time.shape[0]
        for rows in np.array_split(np.arange(replicates), max(1, replicates * counts[-1] * f // 1_000_000)):
            starts = init_scale * torch.randn(len(rows), counts[-1], f, generator=gen, dtype=torch.float64)
            time, leader = law.capture_times(starts).min(-1)
            total[rows[0] : rows[-1] + 1] += covered(time, leader, times, counts, f)
    curves = total / len(laws)
    grain = 1 / (len(laws) * f)
    mean, spread = curves.mean(0), curves.std(0).clamp_min(grain)
    largest = ((curves - mean).abs() / spread).flatten(1).amax(1)
    critical = float(largest.quantile(0.99))
    return Bands(mean, mean - critical * spread, mean + critical * spread, critical, spread)


def reading_time(laws: Sequence[OneFeature], setting: Setting, share: float = 0.999) -> float:
    """The common time at which encoders are read: that of 99.9 % predicted coverage of the features in the data,
    at most 10^6; 10^5 if the law never gets that far.
    """
    when = time_of_full_coverage(laws, setting.init_scale, setting.kernels, share, setting.missing)
    return 1e5 if when == float("inf") else min(when, 1e6)


def time_of_full_coverage(
    laws: Sequence[OneFeature], init_scale: float, kernels: int, share: float = 0.999, missing: int = 0
) -> float:
    """The T at which the law 1 - (1 - p(T))^K, averaged over features and seeds, reaches `share`; inf if it never
    does. The first `missing` features are left out: data that lack them let noise grow them at about 10^22.
    """

    def law(when: float) -> float:
        shares = [(1 - (1 - one.chance(when, init_scale)[missing:]) ** kernels).mean() for one in laws]
        return float(torch.stack(shares).mean())

    low, high = 0.0, 40.0
    if law(10**high) < share:
        return float("inf")
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if law(10**middle) >= share else (middle, high)
    return 10**high

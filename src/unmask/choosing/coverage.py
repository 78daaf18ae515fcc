"""Images that cover all others: farthest first (k-center), or smallest distances (facility location).

Both are greedy, so that the first images of a longer choice are the shorter choice."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics.pairwise import euclidean_distances

from unmask.randomness import permutation

SAMPLE = 5_000
"""Images that represent the pool, and are its candidates, where all pairs of images are compared."""


class FarthestFirst:
    """The image farthest from all labeled ones (Gonzalez 1985; Sener and Savarese 2018); the first is nearest the mean.

    Its largest distance from an image to the nearest chosen one is at most twice the optimum.
    """

    def __init__(self, features: NDArray[np.float32], weights: NDArray[np.float64], *, seed: int = 0) -> None:
        """`features` (N, D), `weights` (N,) multiply distances; nothing is random."""
        self._features, self._weights = features, weights
        self._nearest: NDArray[np.float64] | None = None

    def next(self, candidates: NDArray[np.bool_]) -> int:
        """The image to label next, among candidates, bool (N,), at least one."""
        rows = np.flatnonzero(candidates)
        if self._nearest is None:
            return int(rows[np.argmin(distances(self._features, self._features.mean(0, dtype=np.float64))[rows])])
        return int(rows[np.argmax((self._nearest * self._weights)[rows])])

    def add(self, row: int) -> None:
        """An image has been labeled, or chosen."""
        found = distances(self._features, self._features[row])
        self._nearest = found if self._nearest is None else np.minimum(self._nearest, found)


class SmallestDistances:
    """The image that most shortens the distances from all images to the nearest labeled one: facility location.

    The greedy choice reaches at least 1 - 1/e of the optimum for the same number of images (Nemhauser et al. 1978).
    """

    def __init__(self, features: NDArray[np.float32], weights: NDArray[np.float64], *, seed: int = 0) -> None:
        """See `FarthestFirst`; `seed` draws the sample that represents a pool of more than 5,000 images."""
        self._rows = sample(len(features), seed)
        self._own = euclidean_distances(features[self._rows]).astype(np.float32)
        self._demand = weights[self._rows]
        self._nearest = np.full(len(self._rows), self._own.max(initial=0.0), np.float32)
        self._bounds = np.asarray([self._gain(at) for at in range(len(self._rows))])
        self._features = features
        self._farthest = FarthestFirst(features, weights)

    def _gain(self, at: int) -> float:
        return float(np.maximum(self._nearest - self._own[at], 0) @ self._demand)

    def next(self, candidates: NDArray[np.bool_]) -> int:
        """The image to label next, among candidates, bool (N,), at least one."""
        best = lazy_best(candidates[self._rows], self._bounds, self._gain)
        return self._farthest.next(candidates) if best is None else int(self._rows[best])

    def add(self, row: int) -> None:
        """An image has been labeled, or chosen."""
        self._farthest.add(row)
        found = distances(self._features[self._rows], self._features[row]).astype(np.float32)
        self._nearest = np.minimum(self._nearest, found)


def lazy_best(candidates: NDArray[np.bool_], bounds: NDArray[np.float64], gain: Callable[[int], float]) -> int | None:
    """The candidate with the largest gain, for gains that only ever fall (Minoux 1978); None if none gains anything.

    Args:
        candidates: bool (n,).
        bounds: gains when last computed, (n,); updated in place, as far as necessary.
        gain: the current gain of one of them.
    """
    left = np.where(candidates, bounds, -1.0)
    while len(left) and (bound := float(left.max())) > 0:
        best = int(left.argmax())
        left[best] = bounds[best] = min(bound, gain(best))
        if left[best] == bound:
            return best
    return None


def distances(features: NDArray[np.float32], center: NDArray[np.floating]) -> NDArray[np.float64]:
    """From every image to a place, (N,)."""
    apart = features - center.astype(np.float32)
    return np.sqrt(np.einsum("nd,nd->n", apart, apart)).astype(np.float64)


def sample(count: int, seed: int) -> NDArray[np.int64]:
    """Rows that represent a pool, in order."""
    return np.sort(permutation(seed, "coverage sample", 0, count)[:SAMPLE])

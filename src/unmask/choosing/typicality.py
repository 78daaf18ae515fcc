"""How typical an image is of its neighbors: the density of features around it."""

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from unmask.randomness import permutation

NEIGHBORS = 20
REFERENCE = 5_000
"""Images searched for neighbors: all, or a random sample of a larger pool, so that time grows with the pool and not
with its square."""


def typicality(
    features: NDArray[np.float32], rows: NDArray[np.int64] | None = None, *, seed: int = 0
) -> NDArray[np.float64]:
    """1 / mean distance to the 20 nearest other images (Hacohen et al. 2022, eq. 4): small for outliers.

    Args:
        features: of the pool, (N, D); N = 1 gives 1.
        rows: images to score, (n,); default: all.
        seed: seed of the sample that represents a pool of more than 5,000 images.

    Returns:
        float64 (n,), finite; 0 distance counts as the smallest positive one.
    """
    rows = np.arange(len(features)) if rows is None else rows
    known = permutation(seed, "typicality reference", 0, len(features))[:REFERENCE]
    wanted = min(NEIGHBORS, len(known) - 1)
    if wanted < 1:
        return np.ones(len(rows))
    search = NearestNeighbors(n_neighbors=wanted + 1, algorithm="brute").fit(features[known])
    distances, found = search.kneighbors(features[rows])
    own = known[found] == rows[:, None]
    own[~own.any(1), -1] = True  # An image outside the sample, or among copies of itself: drop the farthest.
    mean = distances[~own].reshape(len(rows), wanted).astype(np.float64).mean(1)
    positive = mean[mean > 0]
    return 1 / np.maximum(mean, positive.min() if len(positive) else 1.0)

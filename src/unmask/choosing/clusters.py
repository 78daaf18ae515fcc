"""Nested clusters: a cluster is only ever split in two, so that fewer clusters are unions of more."""

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from unmask.randomness import derive_seed, permutation

FITTED = 10_000
"""Images on which the two centers of a cluster are fitted; a random sample of a larger one."""


def part(features: NDArray[np.float32], weights: NDArray[np.float64], *, seed: int = 0) -> NDArray[np.bool_]:
    """Split images in two by 2-means: which of them are nearer to the second center.

    Args:
        features: (n, D), n at least 2.
        weights: how much each image counts, (n,), positive.
        seed: seed of the sample and of k-means initialization.

    Returns:
        bool (n,): both values occur, unless all features are equal.
    """
    rows = permutation(seed, "cluster sample", 0, len(features))[:FITTED]
    means = KMeans(n_clusters=2, n_init=3, random_state=seed % 2**31)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # all features of the sample are equal
        means.fit(features[rows], sample_weight=weights[rows])
    first, second = means.cluster_centers_
    across = second - first
    return features @ across > float(across @ (first + second)) / 2


def inertia(features: NDArray[np.float32], weights: NDArray[np.float64]) -> float:
    """Σ weight · squared distance from the weighted mean."""
    counts = weights.astype(np.float32)
    apart = features - counts @ features / counts.sum()
    return float(weights @ np.einsum("nd,nd->n", apart, apart))


def part_into(features: NDArray[np.float32], count: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Up to `count` clusters: the one with the largest inertia is split until there are enough.

    Returns:
        The cluster of each image, int64 (N,), numbered by size from 0, the largest.
    """
    weights = np.ones(len(features))
    clusters = [np.arange(len(features))]
    spread = [inertia(features, weights)]
    while len(clusters) < count and max(spread) > 0:
        at = int(np.argmax(spread))
        rows, _ = clusters.pop(at), spread.pop(at)
        second = part(features[rows], weights[rows], seed=derive_seed(seed, "cluster", int(rows[0]), len(rows)))
        halves = [half for half in (rows[~second], rows[second]) if len(half)]
        clusters += halves
        spread += [0.0] if len(halves) < 2 else [inertia(features[half], weights[half]) for half in halves]
    out = np.empty(len(features), np.int64)
    for number, rows in enumerate(sorted(clusters, key=lambda rows: (-len(rows), int(rows[0])))):
        out[rows] = number
    return out

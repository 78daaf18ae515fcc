"""The most typical image of each cluster (TypiClust, Hacohen, Dekel and Weinshall, ICML 2022), nested over counts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unmask.choosing.clusters import inertia, part
from unmask.choosing.typicality import typicality
from unmask.randomness import derive_seed

SMALLEST = 5
"""Clusters with fewer images are outliers and come last."""


@dataclass(eq=False)
class _Cluster:
    rows: NDArray[np.int64]
    weight: float
    inertia: float
    covered: bool
    """Whether it contains a labeled or chosen image."""


class TypicalInClusters:
    """The most typical image of the largest cluster without a label; if every cluster has one, the cluster with the
    largest inertia is split in two."""

    def __init__(self, features: NDArray[np.float32], weights: NDArray[np.float64], *, seed: int = 0) -> None:
        """`features` (N, D), `weights` (N,): how much each image counts."""
        self._features, self._weights, self._seed = features, weights, seed
        self.typicality = typicality(features, seed=seed)
        self._covered = np.zeros(len(features), bool)
        self._clusters = [self._cluster(np.arange(len(features)))]

    def next(self, candidates: NDArray[np.bool_]) -> int:
        """The image to label next, among candidates, bool (N,), at least one."""
        while True:
            waiting = [one for one in self._clusters if not one.covered and candidates[one.rows].any()]
            large = [one for one in waiting if len(one.rows) >= SMALLEST]
            if large:
                return self._most_typical(max(large, key=lambda one: one.weight), candidates)
            widest = max(self._clusters, key=lambda one: one.inertia)
            if widest.inertia > 0:
                self._part(widest)
            elif waiting:
                return self._most_typical(max(waiting, key=lambda one: one.weight), candidates)
            else:
                rows = np.flatnonzero(candidates)
                return int(rows[np.argmax((self.typicality * self._weights)[rows])])

    def add(self, row: int) -> None:
        """An image has been labeled, or chosen."""
        self._covered[row] = True
        for one in self._clusters:
            one.covered = one.covered or bool((one.rows == row).any())

    def _most_typical(self, cluster: _Cluster, candidates: NDArray[np.bool_]) -> int:
        rows = cluster.rows[candidates[cluster.rows]]
        return int(rows[np.argmax((self.typicality * self._weights)[rows])])

    def _part(self, cluster: _Cluster) -> None:
        rows = cluster.rows
        seed = derive_seed(self._seed, "cluster", int(rows[0]), len(rows))
        second = part(self._features[rows], self._weights[rows], seed=seed)
        self._clusters.remove(cluster)
        halves = [half for half in (rows[~second], rows[second]) if len(half)]
        self._clusters += [self._cluster(half, final=len(halves) < 2) for half in halves]

    def _cluster(self, rows: NDArray[np.int64], *, final: bool = False) -> _Cluster:
        """`final` marks a cluster of equal features, which cannot be split."""
        weights = self._weights[rows]
        spread = 0.0 if final or len(rows) < 2 else inertia(self._features[rows], weights)
        return _Cluster(rows, float(weights.sum()), spread, bool(self._covered[rows].any()))

"""The ways to choose images by their features, as one pure function."""

from collections.abc import Sequence
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from unmask.choosing.candidates import Candidates, Repeats
from unmask.choosing.coverage import FarthestFirst, SmallestDistances
from unmask.choosing.typical_in_clusters import TypicalInClusters
from unmask.errors import UserError
from unmask.randomness import permutation

Strategy = Literal["facility", "typical", "farthest", "random"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
DEFAULT: Strategy = "facility"
"""The best on validation images of Fashion-MNIST, at 50, 100 and 300 labels: benchmarks/choosing.py."""


class Order(Protocol):
    """A way to choose: it returns one image after another and is informed of those labeled."""

    def next(self, candidates: NDArray[np.bool_]) -> int:
        """The image to label next, among candidates, bool (N,), at least one."""
        ...

    def add(self, row: int) -> None:
        """An image has been labeled, or chosen."""
        ...


class AtRandom:
    """Every image is equally likely."""

    def __init__(self, count: int, seed: int) -> None:
        self._rank = np.argsort(permutation(seed, "labels at random", 0, count))

    def next(self, candidates: NDArray[np.bool_]) -> int:
        """See `Order`."""
        rows = np.flatnonzero(candidates)
        return int(rows[np.argmin(self._rank[rows])])

    def add(self, row: int) -> None:
        """Has no effect."""


def order_by(
    strategy: Strategy, features: NDArray[np.float32], weights: NDArray[np.float64] | None = None, *, seed: int = 0
) -> Order:
    """A strategy on the features (N, D) of a pool; `weights` (N,) say how much each image counts, positive."""
    weights = np.ones(len(features)) if weights is None else weights
    match strategy:
        case "typical":
            return TypicalInClusters(features, weights, seed=seed)
        case "farthest":
            return FarthestFirst(features, weights, seed=seed)
        case "facility":
            return SmallestDistances(features, weights, seed=seed)
        case "random":
            return AtRandom(len(features), seed)


def choose_rows(
    features: NDArray[np.float32],
    count: int,
    *,
    strategy: Strategy = DEFAULT,
    labeled: Sequence[int] = (),
    groups: NDArray[np.int64] | None = None,
    weights: NDArray[np.float64] | None = None,
    repeats: Repeats | None = None,
    seed: int = 0,
) -> list[int]:
    """Rows of the images to label, the most useful first; the first k are the same as a choice of k.

    Args:
        features: of the pool, (N, D). A rotation, a shift, and a common factor change nothing.
        strategy: facility: the image that most shortens the distances of all images to the nearest labeled one.
        typical: the most typical image of each cluster. farthest: the one farthest from all labeled ones.
        labeled: rows that already have labels: they count, and are never chosen.
        groups: group of each image, (N,): groups take turns, so that each gets one image first.
        weights: how much each image counts, (N,), positive; default: equally.
        repeats: whether a row shows the same as one of the taken rows; such rows are left out.
        seed: seed of samples, of k-means initialization, and of the strategy random.

    Raises:
        UserError: there are not enough images to choose.
    """
    candidates = Candidates(len(features), labeled=labeled, groups=groups, repeats=repeats)
    order = order_by(strategy, features, weights, seed=seed)
    for row in labeled:
        order.add(row)
    chosen: list[int] = []
    while len(chosen) < count:
        left = candidates.open()
        if not left.any():
            raise UserError(f"count = {count} is larger than the pool: {len(chosen)} images can be chosen")
        row = order.next(left)
        if not candidates.refuse(row):
            order.add(row)
            candidates.take(row)
            chosen.append(row)
    return chosen


def nearest_taken(features: NDArray[np.float32], taken: Sequence[int]) -> NDArray[np.int64]:
    """For each image the position in `taken` of the row whose features are nearest to its own, int64 (N,)."""
    from sklearn.metrics import pairwise_distances_argmin

    return pairwise_distances_argmin(features, features[list(taken)]).astype(np.int64)

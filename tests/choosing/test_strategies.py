"""The laws of a choice: nested, deterministic, without repetition, groups in turn, blind to rotations, all clusters."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from unmask.choosing.candidates import Candidates
from unmask.choosing.clusters import part_into
from unmask.choosing.coverage import FarthestFirst, lazy_best
from unmask.choosing.strategies import STRATEGIES, Strategy, choose_rows, nearest_taken
from unmask.choosing.typicality import typicality
from unmask.errors import UserError

BY_FEATURES = [one for one in STRATEGIES if one != "random"]
every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)
by_features = pytest.mark.parametrize("strategy", BY_FEATURES)


def cloud(count: int = 150, width: int = 6, seed: int = 0) -> NDArray[np.float32]:
    """Features without structure."""
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def far_clusters(sizes: Sequence[int], seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Tight clusters, a hundred times as far apart as they are wide, and which one each image is of; shuffled."""
    random = np.random.default_rng(seed)
    member = random.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centers = 100 * np.eye(len(sizes)) + random.normal(size=(len(sizes), len(sizes)))
    return (centers[member] + random.normal(size=(len(member), len(sizes))) / 2).astype(np.float32), member


def rotated(features: NDArray[np.float32], seed: int = 1) -> NDArray[np.float32]:
    """The same in another orthonormal basis."""
    width = features.shape[1]
    basis = np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))[0]
    return (features @ basis).astype(np.float32)


@every_strategy
def test_nested_deterministic_without_repetition(strategy: Strategy) -> None:
    """The first 15 of 40 are the choice of 15."""
    features = cloud()
    chosen = choose_rows(features, 40, strategy=strategy, seed=3)
    assert len(set(chosen)) == 40
    assert choose_rows(features, 40, strategy=strategy, seed=3) == chosen
    assert choose_rows(features, 15, strategy=strategy, seed=3) == chosen[:15]


@every_strategy
def test_the_whole_pool_can_be_chosen(strategy: Strategy) -> None:
    """Every image once, then a line."""
    features = cloud(37)
    assert sorted(choose_rows(features, 37, strategy=strategy)) == list(range(37))
    with pytest.raises(UserError, match="count = 38 is larger than the pool: 37 images can be chosen"):
        choose_rows(features, 38, strategy=strategy)


@every_strategy
def test_one_image_of_each_group_comes_first(strategy: Strategy) -> None:
    """Ten groups of unequal size: ten images, then twenty, take turns; labeled images count for their group."""
    groups = np.repeat(np.arange(10), [30, 20, 20, 20, 20, 20, 10, 4, 3, 3])
    chosen = choose_rows(cloud(), 20, strategy=strategy, groups=groups)
    assert sorted(groups[chosen[:10]]) == list(range(10))
    assert sorted(groups[chosen[10:]]) == list(range(10))
    later = choose_rows(cloud(), 9, strategy=strategy, groups=groups, labeled=[0])
    assert sorted(groups[later]) == list(range(1, 10))


@every_strategy
def test_labeled_images_are_never_proposed(strategy: Strategy) -> None:
    """Nor images that repeat a taken one."""
    labeled = [3, 50, 51, 149]
    chosen = choose_rows(cloud(), 60, strategy=strategy, labeled=labeled)
    assert not set(chosen) & set(labeled)
    halves = choose_rows(cloud(), 73, strategy=strategy, labeled=labeled[:2], repeats=lambda i, taken: i ^ 1 in taken)
    assert len({row // 2 for row in (*halves, 3, 50)}) == 75


@by_features
@pytest.mark.parametrize("strategy_seed", [0, 1])
def test_a_rotation_changes_nothing(strategy: Strategy, strategy_seed: int) -> None:
    """Nor a shift, nor a factor of two."""
    features = cloud(200)
    chosen = choose_rows(features, 30, strategy=strategy, seed=strategy_seed)
    moved = 2 * rotated(features) + 1
    assert choose_rows(moved, 30, strategy=strategy, seed=strategy_seed) == chosen


@by_features
@pytest.mark.parametrize("sizes", [[20] * 8, [60, 30, 20, 10, 10, 8, 8, 6]])
def test_far_clusters_are_all_hit(strategy: Strategy, sizes: list[int]) -> None:
    """With as many images as clusters; and a labeled cluster needs no further image."""
    features, member = far_clusters(sizes)
    assert sorted(member[choose_rows(features, 8, strategy=strategy)]) == list(range(8))
    known = int(np.flatnonzero(member == 0)[5])
    assert sorted(member[choose_rows(features, 7, strategy=strategy, labeled=[known])]) == list(range(1, 8))


def test_outliers_come_last_where_typical_images_are_chosen() -> None:
    """Farthest first takes them at once."""
    features = np.concatenate([cloud(150), 30 * np.eye(3, 6, dtype=np.float32)])
    assert max(choose_rows(features, 20, strategy="typical")) < 150
    assert {150, 151, 152} <= set(choose_rows(features, 5, strategy="farthest"))


def test_weights_draw_the_choice() -> None:
    """Images that count a thousand times as much are chosen first, by every strategy that looks at features."""
    features, weights = cloud(), np.ones(150)
    weights[::10] = 1000.0
    for strategy in BY_FEATURES:
        chosen = choose_rows(features, 8, strategy=strategy, weights=weights)
        assert sum(row % 10 == 0 for row in chosen) >= 5


def test_every_image_goes_to_the_nearest_taken_one() -> None:
    """A taken one to itself."""
    line = np.asarray([[0.0], [1.0], [2.1], [4.0]], np.float32)
    assert nearest_taken(line, [3, 0]).tolist() == [1, 1, 0, 0]


def test_typicality_is_the_inverse_mean_distance_to_the_nearest() -> None:
    """By hand, for a pool that is its own sample; far out it is small."""
    features = cloud(60)
    apart = np.linalg.norm(features[:, None] - features[None], axis=2)
    expected = 1 / np.sort(apart, axis=1)[:, 1:21].mean(1)
    assert np.allclose(typicality(features), expected, rtol=1e-4)
    assert typicality(features[:1]).tolist() == [1.0]
    assert np.isfinite(typicality(np.zeros((50, 3), np.float32))).all()


def test_farthest_first_is_at_most_twice_as_far_as_is_possible() -> None:
    """On a line of 0 .. 99, three images can leave none farther than 17."""
    line = np.arange(100, dtype=np.float32)[:, None]
    chosen = choose_rows(line, 3, strategy="farthest")
    assert np.abs(line - line[chosen].T).min(1).max() <= 2 * 17


def test_lazy_greedy_is_greedy() -> None:
    """Bounds that are brought up to date only where need be find the same image as looking at all."""
    random = np.random.default_rng(2)
    sets = random.random((40, 300)) < 0.1
    waiting, bounds, chosen = np.ones(300), sets.sum(1).astype(float), np.ones(40, bool)
    for _ in range(12):
        gains = sets @ waiting
        best = lazy_best(chosen, bounds, lambda at: float(sets[at] @ waiting))
        assert best is not None
        assert gains[best] == gains[chosen].max()
        chosen[best] = False
        waiting[sets[best]] = 0


def test_clusters_are_numbered_by_size() -> None:
    """Far clusters are found, the largest is number 0."""
    features, member = far_clusters([40, 30, 20, 10])
    assert np.array_equal(part_into(features, 4), member)
    assert part_into(np.zeros((5, 2), np.float32), 3).tolist() == [0] * 5


def test_groups_with_free_images_take_turns() -> None:
    """A group whose images are all taken waits for nobody."""
    candidates = Candidates(5, groups=np.asarray([0, 0, 0, 0, 1]))
    candidates.take(4)
    for expected in ([0, 1, 2, 3], [1, 2, 3]):
        rows = np.flatnonzero(candidates.open()).tolist()
        assert rows == expected
        candidates.take(rows[0])


def test_farthest_first_begins_in_the_middle() -> None:
    """Nearest the mean."""
    line = np.asarray([[0.0], [1.0], [2.1], [4.0]], np.float32)
    assert FarthestFirst(line, np.ones(4)).next(np.ones(4, bool)) == 2

"""Maps of features: places in the unit square, the same for a seed, near where features are near."""

import numpy as np
import pytest
import torch

from unmask.evaluate.feature_map import FEWEST, map_features, nearest_images
from unmask.evaluate.mistakes import surest_mistakes


def _clusters(count: int, dimensions: int = 12) -> torch.Tensor:
    """Three clusters far apart, image i in cluster i modulo 3."""
    generator = torch.Generator().manual_seed(0)
    centers = 20 * torch.randn(3, dimensions, generator=generator)
    return centers[torch.arange(count) % 3] + torch.randn(count, dimensions, generator=generator)


@pytest.mark.parametrize("count", [FEWEST, 90])
def test_clusters_stay_together(count: int) -> None:
    """By principal components and by t-SNE: every image has one of its own cluster nearest."""
    found = map_features(_clusters(count), seed=0)
    assert found is not None
    assert found.places.shape == (count, 2)
    assert (found.places.min(), found.places.max()) == (0, 1)
    gaps = np.linalg.norm(found.places[:, None] - found.places[None], axis=2) + 9 * np.eye(count)
    assert (gaps.argmin(axis=1) % 3 == np.arange(count) % 3).all()
    assert found.trustworthiness > 0.8
    assert ("t-SNE" in found.method) == (count == 90)


def test_the_same_seed_gives_the_same_map() -> None:
    one, two = (map_features(_clusters(70), seed=3) for _ in range(2))
    assert one is not None
    assert two is not None
    np.testing.assert_array_equal(one.places, two.places)


def test_a_map_without_structure_is_not_trusted() -> None:
    """A line through many dimensions is kept in the plane, pure noise is not."""
    line = torch.linspace(0, 1, 40)[:, None] * torch.ones(1, 30)
    noise = torch.randn(40, 30, generator=torch.Generator().manual_seed(0))
    straight, random = (map_features(features, seed=0) for features in (line, noise))
    assert straight is not None
    assert random is not None
    assert straight.trustworthiness > 0.999
    assert random.trustworthiness < 0.8


@pytest.mark.parametrize("features", [torch.randn(FEWEST - 1, 4), torch.ones(30, 4)])
def test_what_has_no_map(features: torch.Tensor) -> None:
    """Too few images; features that are all equal, as of a collapsed encoder."""
    assert map_features(features, seed=0) is None


def test_one_feature_has_a_map() -> None:
    found = map_features(torch.arange(20.0)[:, None], seed=0)
    assert found is not None
    assert (found.places[:, 1] == 0).all()


def test_nearest_images_are_others_in_order_of_the_cosine() -> None:
    """Length does not count, and no image is its own neighbor."""
    features = torch.tensor([[1.0, 0], [5, 0], [1, 1], [-1, 0]])
    similarity, nearest = nearest_images(features, torch.tensor([0, 3]), 2)
    assert nearest[0].tolist() == [1, 2]
    assert nearest[1, 0] == 2
    torch.testing.assert_close(similarity[0], torch.tensor([1, 0.5**0.5]))
    assert nearest_images(features, torch.tensor([0]), 9)[1].shape == (1, 3)


def test_surest_mistakes_come_first() -> None:
    """Right ones are left out however sure, and what could not be read."""
    nan = float("nan")
    shares = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [nan, nan], [0.05, 0.95]])
    found, wrong = surest_mistakes(shares, torch.tensor([0, 1, 0, 0, 0]), 2)
    assert (found.tolist(), wrong) == ([4, 1], 3)

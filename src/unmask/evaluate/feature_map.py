"""A 2-D map of images by their features, and how trustworthy it is."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness
from torch.nn.functional import normalize

FEWEST = 8
"""Least number of images for a map."""
_CURVED = 60
"""Number of images from which t-SNE is used; with fewer, the first two principal components."""
_COMPONENTS = 50
_NEIGHBORS = 10


@dataclass(frozen=True)
class FlatMap:
    """Positions of images, and facts about the map."""

    places: NDArray[np.float64]
    """[N, 2] in 0..1."""
    method: str
    neighbors: int
    """Number of nearest images in the trustworthiness."""
    trustworthiness: float
    """1 if all neighbors on the map are neighbors in the features (Venna and Kaski 2001); 0.5 by chance."""


def map_features(features: torch.Tensor, seed: int) -> FlatMap | None:
    """A map of features [N, D]: t-SNE (van der Maaten and Hinton 2008) of the first 50 principal components.

    The same seed gives the same map on one machine. None for fewer than 8 images, or if all features are equal.
    """
    values = features.detach().cpu().double().numpy()
    count = len(values)
    if count < FEWEST or np.ptp(values, axis=0).max() < 1e-9:
        return None
    flat = PCA(min(_COMPONENTS if count >= _CURVED else 2, *values.shape), random_state=seed).fit_transform(values)
    method = "the first two principal components"
    if count >= _CURVED:
        start = "pca" if flat.shape[1] > 1 else "random"
        plane = TSNE(2, init=start, learning_rate="auto", perplexity=min(30.0, count / 4), random_state=seed)
        flat, method = plane.fit_transform(flat), "t-SNE of the principal components"
    if flat.shape[1] == 1:
        flat = np.column_stack([flat, np.zeros(count)])
    neighbors = min(_NEIGHBORS, (count - 1) // 2)
    trust = float(trustworthiness(values, flat, n_neighbors=neighbors))
    low = flat.min(axis=0)
    places = (flat - low) / np.maximum(flat.max(axis=0) - low, 1e-12)
    return FlatMap(places.astype(np.float64), method, neighbors, trust)


def nearest_images(features: torch.Tensor, queries: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Similarity and index of the `count` other images most similar to each query by cosine of features, [Q, count]."""
    unit = normalize(features.float(), dim=1)
    similarity = unit[queries] @ unit.T
    similarity[torch.arange(len(queries)), queries] = -torch.inf
    found = similarity.topk(min(count, len(features) - 1), dim=1)
    return found.values, found.indices

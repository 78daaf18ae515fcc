"""k nearest neighbors on frozen features: the quality of an encoder before any weight is trained."""

import torch
from torch.nn.functional import normalize

from unmask.errors import UserError

_CHUNK = 2048


def knn_predict(
    train_features: torch.Tensor,
    train_labels: torch.Tensor,
    features: torch.Tensor,
    *,
    classes: int,
    k: int = 20,
    temperature: float = 0.07,
) -> torch.Tensor:
    """Class shares from the k training images with the highest cosine similarity, weighted by exp(similarity / T).

    The weighting of Wu et al. (CVPR 2018, section 3.4). With fewer than k training images all of them vote.

    Args:
        train_features: shape (M, D).
        train_labels: class indices, shape (M,).
        features: images to classify, shape (N, D).
        classes: number of classes K.
        k: neighbors that vote.
        temperature: T > 0; the smaller, the more the nearest neighbor dominates.

    Returns:
        Shares that sum to 1, shape (N, K). They go into `classification_metrics` as log shares.

    Raises:
        UserError: there is no training image, or k or temperature is not positive.
    """
    if len(train_features) == 0 or k < 1 or temperature <= 0:
        raise UserError(f"k = {k}, temperature = {temperature}, {len(train_features)} images: all must be positive")
    bank, queries = normalize(train_features.float(), dim=1), normalize(features.float(), dim=1)
    votes = queries.new_zeros(len(queries), classes)
    for start in range(0, len(queries), _CHUNK):
        similarity, index = (queries[start : start + _CHUNK] @ bank.T).topk(min(k, len(bank)), dim=1)
        weights = torch.softmax(similarity / temperature, dim=1)
        votes[start : start + _CHUNK].scatter_add_(1, train_labels.to(index.device)[index], weights)
    return votes

"""The surest mistakes of a classifier."""

from torch import Tensor


def surest_mistakes(probabilities: Tensor, labels: Tensor, count: int) -> tuple[Tensor, int]:
    """Up to `count` wrongly predicted images, the surest first, and how many there are in all.

    From probabilities (N, K), NaN in the rows of images that could not be read, and labels (N,).
    """
    sure, predicted = probabilities.nan_to_num(-1.0).max(dim=1)
    wrong = ((predicted != labels) & ~probabilities.isnan().any(dim=1)).nonzero()[:, 0]
    order = wrong[sure[wrong].argsort(descending=True, stable=True)]
    return order[:count], len(wrong)

"""The surest mistakes of a classifier."""

from torch import Tensor


def surest_mistakes(probabilities: Tensor, labels: Tensor, count: int) -> tuple[Tensor, int]:
    """Up to `count` wrongly predicted images, the surest first, and how many there are in all.

    Args:
        probabilities: of the classes, (N, K); rows with NaN are of images that could not be read, and left out.
        labels: class indices, (N,).
    """
    sure, predicted = probabilities.nan_to_num(-1.0).max(dim=1)
    wrong = ((predicted != labels) & ~probabilities.isnan().any(dim=1)).nonzero()[:, 0]
    order = wrong[sure[wrong].argsort(descending=True, stable=True)]
    return order[:count], len(wrong)

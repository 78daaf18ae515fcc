"""Scores that are not means over images, as one value per image: the score plus the image's influence on it.

The influence is the first-order change of the score when the image gets more weight. It adds up to zero, so that the
values' mean is the score and their spread shows how much the score depends on the images.

Letters: n images.
"""

import numpy as np
from numpy.typing import NDArray

from unmask.evaluate.defined import varies

Values = NDArray[np.float64]


def mean_square_root(errors: Values) -> Values:
    """√(mean of squares) of errors (n,); the value is r + (e² - r²) / 2 r."""
    squares = errors**2
    root = float(np.sqrt(squares.mean()))
    return np.full_like(errors, root) if root == 0 else root + (squares - root**2) / (2 * root)


def explained_share(truth: Values, errors: Values) -> Values:
    """R² = 1 - Σ e² / Σ (y - mean)², of numbers (n,) and the errors of their predictions; NaN for equal numbers."""
    spread = (truth - truth.mean()) ** 2
    if spread.sum() == 0 or not varies(truth):
        return np.full_like(truth, np.nan)
    left = errors**2
    ratio = left.sum() / spread.sum()
    return 1 - ratio - len(truth) * (left - ratio * spread) / spread.sum()


def rank_correlation(truth: Values, predicted: Values) -> Values:
    """Spearman's ρ, the correlation of ranks, of two columns (n,); NaN where one is constant.

    Its influence is that of a correlation of grades F(x), G(y): F(x) G(y) + E[1(X ≥ x) G(Y)] + E[F(X) 1(Y ≥ y)], scaled
    by the grades' deviations and centered (Croux and Dehon, Statistical Methods & Applications 19, 2010).
    """
    first, second = _centered_grades(truth), _centered_grades(predicted)
    scale = np.sqrt((first**2).mean() * (second**2).mean())
    if scale == 0:
        return np.full_like(truth, np.nan)
    rho = (first * second).mean() / scale
    moved = first * second + _mean_from(truth, second) + _mean_from(predicted, first)
    return np.asarray(rho + (moved - moved.mean()) / scale)


def area(scores: Values, positive: NDArray[np.bool_], image: NDArray[np.int64], images: int) -> Values:
    """AUROC over entries (m,), each of one image: P(score of a positive > of a negative) + P(equal) / 2, as (images,).

    An entry's influence is that of a two-sample U-statistic (DeLong et al., Biometrics 44, 1988). NaN without entries
    of both kinds.
    """
    ups, downs = np.sort(scores[positive]), np.sort(scores[~positive])
    if not len(ups) or not len(downs):
        return np.full(images, np.nan)
    above = _share_below(downs, scores)
    below = 1 - _share_below(ups, scores)
    value = float(above[positive].mean())
    influence = np.where(positive, (above - value) / len(ups), (below - value) / len(downs))
    return np.asarray(value + images * np.bincount(image, weights=influence, minlength=images))


def average_precision(scores: Values, positive: NDArray[np.bool_]) -> Values:
    """Average precision, the mean over positives of the precision among scores at least as high, as (n,); NaN without.

    With N_i and T_i of images and positives that score at least s_i it is Σ_{i positive} (T_i / N_i) / P, and its
    derivative by the weight of an image k is [y_k (p_k - AP) + Σ_{i positive, s_i ≤ s_k} (y_k - p_i) / N_i] / P.
    """
    count = int(positive.sum())
    if count == 0:
        return np.full(len(scores), np.nan)
    levels, at = np.unique(-scores, return_inverse=True)  # the highest first
    images, hits = (np.cumsum(np.bincount(at, weights=w, minlength=len(levels))) for w in (None, positive))
    precision, own = hits / images, np.bincount(at, weights=positive, minlength=len(levels))
    value = float((own * precision).sum()) / count
    least, less = (np.cumsum(one[::-1])[::-1] for one in (own / images, own * precision / images))
    derivative = positive * (precision[at] - value + least[at]) - less[at]
    return value + len(scores) * derivative / count


def f1_of(predicted: NDArray[np.bool_], positive: NDArray[np.bool_], image: NDArray[np.int64], images: int) -> Values:
    """F1 = 2 TP / D, D = 2 TP + FP + FN, over entries (m,), each from one image, as (images,); 0 where D is 0."""
    twice, weight = 2.0 * (predicted & positive), predicted.astype(np.float64) + positive
    if weight.sum() == 0:
        return np.zeros(images)
    value = twice.sum() / weight.sum()
    influence = (twice - value * weight) / weight.sum()
    return value + images * np.bincount(image, weights=influence, minlength=images)


def _share_below(ordered: Values, values: Values) -> Values:
    """For each value the share of the ordered values below it, equal ones counting half."""
    low, high = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    return np.asarray((low + high) / (2 * len(ordered)))


def _centered_grades(values: Values) -> Values:
    grades = _share_below(np.sort(values), values)
    return np.asarray(grades - grades.mean())


def _mean_from(values: Values, others: Values) -> Values:
    """For each i the mean over j of others_j where values_j > values_i, counting half where they are equal."""
    levels, at = np.unique(values, return_inverse=True)
    sums = np.bincount(at, weights=others, minlength=len(levels))
    above = np.cumsum(sums[::-1])[::-1] - sums / 2
    return above[at] / len(values)

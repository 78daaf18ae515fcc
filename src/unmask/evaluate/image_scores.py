"""A score of many images as one value per image, to measure the effect of the random choice of test images."""

import numpy as np
from numpy.typing import NDArray

from unmask.config.metric import Metric


def image_scores(
    predicted: NDArray[np.int64], labels: NDArray[np.int64], metric: Metric = "accuracy"
) -> NDArray[np.float64]:
    """One value per image; their mean is the metric, and their spread shows how much it depends on the images.

    For accuracy it is 1 or 0. For the others the metric plus the image's influence on it (the first-order change when
    the image gets more weight), which adds up to zero; the values may lie outside [0, 1]. Balanced accuracy takes the
    number of images per class as given. Macro-F1 is over the classes that are labeled or predicted.

    Args:
        predicted: class indices, shape (n,); -1 for an image that could not be read, whose value is NaN.
        labels: class indices, shape (n,).
    """
    read = predicted >= 0
    values = np.full(predicted.shape, np.nan)
    guess, truth = predicted[read], labels[read]
    right = (guess == truth).astype(np.float64)
    if metric == "accuracy":
        values[read] = right
    elif metric == "balanced_accuracy":
        values[read] = _balanced(right, truth)
    else:
        values[read] = _macro_f1(guess, truth)
    return values


def _balanced(right: NDArray[np.float64], truth: NDArray[np.int64]) -> NDArray[np.float64]:
    _, group, sizes = np.unique(truth, return_inverse=True, return_counts=True)
    recall = np.bincount(group, weights=right) / sizes
    return recall.mean() + (right - recall[group]) * truth.size / (len(sizes) * sizes[group])


def _macro_f1(guess: NDArray[np.int64], truth: NDArray[np.int64]) -> NDArray[np.float64]:
    """F1 = 2 TP / D, D = 2 TP + FP + FN: an image with shares (tp, d) of both changes it by (2 tp - F1 d) / D."""
    classes = np.unique(np.concatenate([guess, truth]))
    guessed, is_class = guess[:, None] == classes, truth[:, None] == classes
    twice = 2.0 * (guessed & is_class)
    weight = guessed.astype(np.float64) + is_class
    f1 = twice.sum(axis=0) / weight.sum(axis=0)
    influence = truth.size * (twice - f1 * weight) / weight.sum(axis=0)
    return f1.mean() + influence.mean(axis=1)

"""Test images of one group (a patient, a scene) are alike: the group, not the image, is what is drawn at random."""

import numpy as np
from numpy.typing import NDArray


def per_group(values: NDArray[np.float64], groups: NDArray[np.int64] | None) -> NDArray[np.float64]:
    """Values per image as values per group, with the same mean, for intervals over new groups.

    These are the pseudo-values of the delete-a-group jackknife, shifted to the mean m of the n readable images:
    y_g = (G - 1) / (n - n_g) * sum over i in g of (x_i - m) + m + shift. The variance of the mean of G independent y_g
    estimates that of m, however unequal the groups are and however alike their images (Tukey 1958; Shao and Tu, The
    Jackknife and Bootstrap, 1995, chapter 6). Groups of one image leave the values as they are.

    Args:
        values: one per image, shape (n,); NaN for an image that could not be read.
        groups: group of each image, shape (n,); None if every image is its own.

    Returns:
        One value per group in ascending order, shape (G,); NaN for a group without a readable image.
    """
    if groups is None:
        return values
    names, member = np.unique(groups, return_inverse=True)
    found, readable = np.full(len(names), np.nan), ~np.isnan(values)
    if not readable.any():
        return found
    sizes = np.bincount(member[readable], minlength=len(names))
    mean, there = values[readable].mean(), sizes > 0
    apart = np.bincount(member[readable], values[readable] - mean, minlength=len(names))[there]
    others = np.maximum(sizes.sum() - sizes[there], 1)
    pseudo = (there.sum() - 1) / others * apart
    found[there] = mean + pseudo - pseudo.mean()
    return found

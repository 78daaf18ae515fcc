"""Overlap of predicted and true masks over a data set (IoU, Dice, boundary IoU), and each image's part in it.

Letters: N images, H x W pixels, K classes. Masks are uint8, a class for each pixel; true ones may be `IGNORED`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from unmask.config.data import IGNORED

_AT_ONCE = 2**22
"""Numbers counted at a time."""
BOUNDARY = 0.02
"""Width of a boundary as a share of the image's diagonal (Cheng et al. 2021)."""


@dataclass(frozen=True)
class Overlap:
    """Counts of pixels by image and class: int64 (N, K) each."""

    both: NDArray[np.int64]
    """Pixels of the class in truth and prediction."""
    predicted: NDArray[np.int64]
    true: NDArray[np.int64]

    @property
    def union(self) -> NDArray[np.int64]:
        """Pixels of the class in truth or prediction."""
        return self.predicted + self.true - self.both

    def stacked(self) -> NDArray[np.int32]:
        """As one array (N, 3, K), with the fields in order."""
        return np.stack([self.both, self.predicted, self.true], axis=1).astype(np.int32)

    @staticmethod
    def of_stacked(counts: NDArray[np.generic]) -> "Overlap":
        """The inverse of `stacked`."""
        both, predicted, true = np.moveaxis(counts.astype(np.int64), 1, 0)
        return Overlap(both, predicted, true)


def overlap(predicted: Tensor, truth: Tensor, classes: int) -> Overlap:
    """Pixels of each class in masks uint8 (N, H, W), without those whose truth is `IGNORED`."""
    confusions = [
        np.zeros((0, classes, classes), np.int64),
        *(_confusions(predicted[part], truth[part], classes) for part in _parts(predicted, classes)),
    ]
    counts = np.concatenate(confusions)
    return Overlap(np.diagonal(counts, axis1=1, axis2=2).copy(), counts.sum(1), counts.sum(2))


def boundary_overlap(predicted: Tensor, truth: Tensor, classes: int) -> Overlap:
    """The same for the pixels of a class within 2 % of the diagonal, and at least one pixel, of its edge.

    The image's border is an edge, that of an ignored region is not (Cheng et al., Boundary IoU, CVPR 2021).
    """
    height, width = truth.shape[1:]
    reach = max(1, round(BOUNDARY * (height**2 + width**2) ** 0.5))
    everything = torch.arange(classes, dtype=torch.uint8)[:, None, None]
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for part in _parts(predicted, classes):
        counted = (truth[part] != IGNORED).unsqueeze(1)
        edges = [
            _edges((masks[part].unsqueeze(1) == everything) & counted, counted, reach) for masks in (predicted, truth)
        ]
        found.append(((edges[0] & edges[1]).sum((2, 3)), edges[0].sum((2, 3)), edges[1].sum((2, 3))))
    columns = [torch.cat(column).numpy() for column in zip(*found, strict=True)]
    return Overlap(*(columns or [np.zeros((0, classes), np.int64)] * 3))


def iou(counts: Overlap) -> NDArray[np.float64]:
    """Intersection over union of every class over all images, (K,); NaN for a class that neither side has."""
    return _share(counts.both.sum(0), counts.union.sum(0))


def dice(counts: Overlap) -> NDArray[np.float64]:
    """2 |A ∩ B| / (|A| + |B|) of every class over all images, (K,); NaN for a class that neither side has."""
    return _share(2 * counts.both.sum(0), counts.predicted.sum(0) + counts.true.sum(0))


def mean_of_classes(values: NDArray[np.float64]) -> float:
    """The mean over the classes that occur; NaN without any."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def iou_per_image(counts: Overlap) -> NDArray[np.float64]:
    """One value per image, (N,): their mean is the mean IoU, their spread shows how much it depends on the images.

    The mean IoU plus the image's influence on it, Σ_k (b_ik - IoU_k u_ik) / U_k · N / K for intersections b_ik and
    unions u_ik that add up to U_k: the delta method for a mean of ratios.
    """
    return _influences(counts.both, counts.union)


def dice_per_image(counts: Overlap) -> NDArray[np.float64]:
    """The same for the mean Dice."""
    return _influences(2 * counts.both, counts.predicted + counts.true)


def _influences(upper: NDArray[np.int64], lower: NDArray[np.int64]) -> NDArray[np.float64]:
    """The same for the mean over classes of Σ upper / Σ lower, both (N, K)."""
    total = lower.sum(0)
    occur = total > 0
    if not occur.any():
        return np.full(len(upper), np.nan)
    upper, lower, total = upper[:, occur], lower[:, occur], total[occur]
    ratio = upper.sum(0) / total
    return ratio.mean() + len(upper) * ((upper - ratio * lower) / total).mean(1)


def _share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _confusions(predicted: Tensor, truth: Tensor, classes: int) -> NDArray[np.int64]:
    """Pixels of image i, true class t and predicted class p, (n, K, K)."""
    image = torch.arange(len(truth))[:, None, None].expand_as(truth)
    counted = truth != IGNORED
    index = (image[counted] * classes + truth[counted]) * classes + predicted[counted]
    return torch.bincount(index, minlength=len(truth) * classes**2).reshape(-1, classes, classes).numpy()


def _edges(masks: Tensor, counted: Tensor, reach: int) -> Tensor:
    """(n, K, H, W) masks eroded by a square of 2 · reach + 1 pixels, with ignored pixels as part of the mask."""
    outside = pad(~(masks | ~counted), (reach,) * 4, value=True)
    return masks & _any_of(_any_of(outside, 3, reach), 2, reach)


def _any_of(marks: Tensor, axis: int, reach: int) -> Tensor:
    """Whether one of 2 · reach + 1 neighbors along an axis is marked; the axis gets shorter by 2 · reach."""
    length = marks.shape[axis] - 2 * reach
    near = marks.narrow(axis, 0, length).clone()
    for offset in range(1, 2 * reach + 1):
        near |= marks.narrow(axis, offset, length)
    return near


def _parts(masks: Tensor, classes: int) -> Iterator[slice]:
    step = max(1, _AT_ONCE // max(1, masks[:1].numel() * classes))
    yield from (slice(at, at + step) for at in range(0, len(masks), step))

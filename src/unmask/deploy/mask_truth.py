"""True masks of any data in the classes of a run: matched by name, or by index if one side has no names."""

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from unmask.config.data import IGNORED
from unmask.data.imageset import ImageSet
from unmask.data.mask_table import unnamed_classes
from unmask.errors import UserError


@dataclass(frozen=True)
class Truth:
    """Images with masks in the classes of a run."""

    images: ImageSet
    """Their labels; pixels of other classes are `IGNORED`."""
    unknown: dict[str, int] = field(default_factory=dict)
    """Number of masks that show each class that the run lacks; the most frequent first."""
    by_index: bool = False
    """Whether one side alone has names, so that classes are matched by their indices."""


def truth_for(images: ImageSet, found: tuple[str, ...], classes: tuple[str, ...]) -> Truth:
    """The masks of images, whose classes are `found`, in those of a run.

    Raises:
        UserError: classes are matched by index, and a mask has one that the run lacks.
    """
    if images.labels.ndim != 3 or found == classes:
        return Truth(images)
    unnamed = [names == unnamed_classes(len(names)) for names in (found, classes)]
    if any(unnamed):
        _require_indices(images, classes)
        return Truth(images, by_index=not all(unnamed))
    table = np.full(IGNORED + 1, IGNORED, np.uint8)
    for index, name in enumerate(found):
        table[index] = classes.index(name) if name in classes else IGNORED
    masks = images.labels.numpy()
    shown = [name for mask in masks for name in _names(mask, found) if name not in classes]
    labels = np.stack([table[mask] for mask in masks]) if len(masks) else masks
    return Truth(replace(images, labels=torch.from_numpy(labels)), dict(Counter(shown).most_common()))


def _require_indices(images: ImageSet, classes: tuple[str, ...]) -> None:
    for name, mask in zip(images.names, images.labels.numpy(), strict=True):
        over = mask[(mask >= len(classes)) & (mask != IGNORED)]
        if len(over):
            raise UserError(
                f"mask of {name}: holds class {over.max()}, and the run has {len(classes)}: 0 ({classes[0]}) to "
                f"{len(classes) - 1} ({classes[-1]}): name the classes of the masks in classes.csv"
            )


def _names(mask: np.ndarray, found: tuple[str, ...]) -> list[str]:
    return [found[index] for index in np.unique(mask).tolist() if index != IGNORED]

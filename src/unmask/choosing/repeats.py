"""Near duplicates: images saved again in another format, size or quality."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unmask.data.check.duplicates import FLAT, LARGEST_DIFFERENCE, SMALLEST_CORRELATION, thumbnail
from unmask.data.imageset import ImageSet


class SavedAgain:
    """Whether an image is another one saved again, by the rule of `unmask data check`; computed on demand."""

    def __init__(self, images: ImageSet) -> None:
        self._images = images
        self._known: dict[int, NDArray[np.float32]] = {}

    def __call__(self, row: int, taken: Sequence[int]) -> bool:
        """Whether image `row` shows the same as one of the taken rows. Flat images never do."""
        own = self._thumbnail(row)
        if not taken or own.std() <= FLAT:
            return False
        others = np.stack([self._thumbnail(one) for one in taken])
        close = np.sqrt(np.square(others - own).mean(1)) <= LARGEST_DIFFERENCE
        apart, deviations = others - others.mean(1, keepdims=True), others.std(1)
        likeness = apart @ (own - own.mean()) / len(own) / np.maximum(deviations * own.std(), 1e-12)
        return bool((close & (likeness >= SMALLEST_CORRELATION)).any())

    def _thumbnail(self, row: int) -> NDArray[np.float32]:
        if row not in self._known:
            self._known[row] = thumbnail(self._images.raw([row])[0].numpy(), 1.0)
        return self._known[row]

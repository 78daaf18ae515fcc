"""scikit-learn's handwritten digits: 1797 gray images of 8 x 8 pixels, 10 classes."""

import numpy as np

from unmask.data.sources.source import UNASSIGNED, Arrays, Source, split_array


def digits() -> Source:
    """The digits with values 0..16 stretched to 0..255, no official split."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    values = np.round(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    return Source(
        names=tuple(f"digits[{i}]" for i in range(len(values))),
        labels=bunch.target.astype(np.int64),
        classes=tuple(str(i) for i in range(10)),
        splits=split_array([UNASSIGNED] * len(values)),
        images=Arrays(values),
    )

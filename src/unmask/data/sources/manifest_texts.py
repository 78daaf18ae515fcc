"""Labels as text, and classes made of them."""

from collections.abc import Sequence
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from unmask.data.file_names import natural_key
from unmask.wording import printable

NO_LABEL = frozenset({"", "-1", "-1.0"})
"""Class texts that mean no class, in every source."""


def encode_labels(labels: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Class names in natural order, as text that can be printed, and the index of each label; -1 for "" and "-1".

    Composed and decomposed accents (as Linux and macOS write them) are the same.
    """
    names = {label: "" if label in NO_LABEL else printable(normalize("NFC", label)) for label in set(labels)}
    classes = tuple(sorted(set(names.values()) - {""}, key=natural_key))
    index = {name: i for i, name in enumerate(classes)} | {"": -1}
    codes = {label: index[name] for label, name in names.items()}
    return classes, np.asarray([codes[label] for label in labels], np.int64)

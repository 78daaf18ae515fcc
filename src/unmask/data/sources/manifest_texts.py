"""Labels and groups as text, and classes made of them."""

import re
from collections.abc import Sequence
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from unmask.data.file_names import natural_key
from unmask.wording import printable

_NO_LABEL = frozenset({"", "-1", "nan"})
_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]*))\.0*")


def is_no_label(text: str) -> bool:
    """Whether a label means no class, in every source: "", -1, or NaN."""
    return name_of(text).lower() in _NO_LABEL


def name_of(text: str) -> str:
    """A label or group as it is compared and shown: composed accents, printable, no spaces around it, and 1.0 as 1.

    Names such as 007 and 1e3 stay as they are.
    """
    if whole := _WHOLE.fullmatch(text.strip()):
        return "0" if whole[1] == "-0" else whole[1]
    return printable(normalize("NFC", text.strip()))


def encode_labels(labels: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Class names in natural order, as text that can be printed, and the index of each label; -1 for no label.

    Labels of one name, see `name_of`, are the same.
    """
    names = {label: "" if is_no_label(label) else name_of(label) for label in set(labels)}
    classes = tuple(sorted(set(names.values()) - {""}, key=natural_key))
    index = {name: i for i, name in enumerate(classes)} | {"": -1}
    codes = {label: index[name] for label, name in names.items()}
    return classes, np.asarray([codes[label] for label in labels], np.int64)


def encode_groups(groups: Sequence[str]) -> NDArray[np.int64]:
    """A number per group; each image without a group ("" or NaN) gets its own."""
    names = {group: "" if group.strip().lower() == "nan" else name_of(group) for group in set(groups)}
    index: dict[str, int] = {}
    keys = (names[group] or f"\0{i}" for i, group in enumerate(groups))
    return np.asarray([index.setdefault(key, len(index)) for key in keys], np.int64)

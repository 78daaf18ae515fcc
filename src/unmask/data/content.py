"""What images contain, as digests: to find the same image twice, and to name a data set."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unmask.data.source import TEST, TRAIN, UNLABELLED, VAL


def digest_rows(values: Tensor) -> list[bytes]:
    """A 16-byte digest of every image of (N, C, H, W): equal iff the pixels at the encoder's size are."""
    return [hashlib.blake2b(image.numpy().tobytes(), digest_size=16).digest() for image in values]


def twins_to_leave_out(digests: Sequence[bytes], splits: NDArray[np.str_]) -> dict[int, int]:
    """Images that also occur in a split nearer to the test: row → row of its twin.

    A training or unlabelled image that is in validation or test is left out of training, and a validation image that
    is in test is left out of validation. The test is never touched.
    """
    first: dict[str, dict[bytes, int]] = {TEST: {}, VAL: {}}
    for row, digest in enumerate(digests):
        if splits[row] in first:
            first[str(splits[row])].setdefault(digest, row)
    above = {TRAIN: (TEST, VAL), UNLABELLED: (TEST, VAL), VAL: (TEST,)}
    twins: dict[int, int] = {}
    for row, digest in enumerate(digests):
        for split in above.get(str(splits[row]), ()):
            if digest in first[split]:
                twins.setdefault(row, first[split][digest])
    return twins


def fingerprint(digests: Sequence[bytes], labels: NDArray[np.int64], splits: NDArray[np.str_], *more: object) -> str:
    """16 hexadecimal digits that change with any pixel, label or split, and with what else is given."""
    total = hashlib.blake2b(repr(more).encode(), digest_size=8)
    for digest, label, split in zip(digests, labels.tolist(), splits.tolist(), strict=True):
        total.update(digest + f"{label} {split};".encode())
    return total.hexdigest()

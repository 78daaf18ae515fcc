"""What images contain, as digests: to find the same image twice, and to name a data set."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unmask.data.source import TEST, TRAIN, UNLABELLED, VAL, Arrays, Files


def digest_rows(values: Tensor) -> list[bytes]:
    """A 16-byte digest of every image of (N, C, H, W): equal iff the pixels at the encoder's size are."""
    return [_digest(image.numpy().tobytes()) for image in values]


def digest_stored(images: Files | Arrays) -> list[bytes]:
    """A digest of every image as it is stored, without decoding: equal iff the stored bytes are.

    Files are only read where another has the same length; the digest of the others is of their length. A file that
    vanishes meanwhile counts as empty.
    """
    if isinstance(images, Arrays):
        return [_digest(np.ascontiguousarray(image).tobytes()) for image in images.values]
    lengths = [path.stat().st_size if path.exists() else 0 for path in images.paths]
    shared = Counter(lengths)

    def digest(row: int) -> bytes:
        if shared[lengths[row]] == 1 or not lengths[row]:
            return _digest(f"length {lengths[row]}".encode())
        return _digest(images.paths[row].read_bytes())

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(digest, range(len(lengths))))


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


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
    """16 hexadecimal digits that change with any image, label or split, and with what else is given."""
    total = hashlib.blake2b(repr(more).encode(), digest_size=8)
    for digest, label, split in zip(digests, labels.tolist(), splits.tolist(), strict=True):
        total.update(digest + f"{label} {split};".encode())
    return total.hexdigest()

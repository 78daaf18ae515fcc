"""Digests of what images contain: to find duplicates, and to identify a data set."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unmask.data.decoding.file import File
from unmask.data.decoding.image_format import ImageFormat
from unmask.data.pixels import read_one
from unmask.data.sources.source import TEST, TRAIN, UNLABELED, VAL, Images, Source
from unmask.data.threads import failures, mapped

Digests = NDArray[np.bytes_]
"""16 bytes per image, (N,)."""
PIECE, PIECES = 4096, 8
"""Bytes and number of the pieces of a large file that are read before the whole file is."""
BLOCK = 2**20
"""Bytes of a file that are read at a time."""


def digest_pieces(images: Images) -> Digests:
    """A digest of every image as it is stored, without decoding, for which large files are not read as a whole.

    Two are equal iff the stored bytes are, but a file may change without its digest. A file larger than `PIECES` pieces
    is read as a whole only where another has the same length and pieces; the digest of the others is of these: pieces
    spread evenly, the first and the last bytes among them. A file that vanishes meanwhile counts as empty.
    """
    digests = np.zeros(len(images), "S16")
    whole = np.zeros(len(images), bool)

    def look(row: int) -> None:
        stored = images.stored(row)
        if isinstance(stored, np.ndarray):
            digests[row], whole[row] = digest(np.ascontiguousarray(stored).tobytes()), True
        else:
            length, content = _pieces(stored)
            digests[row], whole[row] = digest(b"%d " % length + content), length <= PIECE * PIECES

    def all_of(index: int) -> None:
        """Replace the digest of the pieces of a file by that of all its bytes."""
        stored = images.stored(int(doubtful[index]))
        assert not isinstance(stored, np.ndarray)
        digests[doubtful[index]] = digest(_content(stored))

    failures(look, len(images), threads=images.threads)
    _, found, times = np.unique(digests, return_inverse=True, return_counts=True)
    doubtful = np.flatnonzero((times[found] > 1) & ~whole)
    for _ in mapped(all_of, len(doubtful), threads=images.threads):
        pass
    return digests


class StoredDigests:
    """Digests of images as they are stored, which change with any byte.

    Each is computed as soon as its image has been decoded, while the system still has the file in memory.
    """

    def __init__(self, images: Images) -> None:
        self._images, self._digests = images, np.zeros(len(images), "S16")
        self._known = np.zeros(len(images), bool)

    def look(self, row: int) -> None:
        """Compute the digest of a row; for use in several threads."""
        stored = self._images.stored(row)
        if isinstance(stored, np.ndarray):
            self._digests[row] = digest(np.ascontiguousarray(stored).tobytes())
        else:
            self._digests[row] = _digest_file(stored)
        self._known[row] = True

    def all(self) -> Digests:
        """The digests of all rows; those not yet looked at are computed now. A file that vanishes counts as empty."""
        rest = np.flatnonzero(~self._known)
        for _ in mapped(lambda at: self.look(int(rest[at])), len(rest), threads=self._images.threads):
            pass
        return self._digests


def digest_streamed(
    source: Source, wanted: ImageFormat, *, progress: bool, after: Callable[[int], None] | None = None
) -> tuple[Digests, dict[int, str]]:
    """A digest of every image in a format, each decoded once; and why some cannot be.

    Whatever fits the cache or does not, the same twins are found and the same files are bad. `after` is called with
    the row of each image that was decoded.
    """
    digests = np.zeros(len(source.images), "S16")

    def look(row: int) -> None:
        digests[row] = digest(read_one(source.images, row, wanted, source.reading).numpy().tobytes())
        if after is not None:
            after(row)

    bar = "looking" if progress else None
    return digests, failures(look, len(digests), threads=source.images.threads, bar=bar)


def digest(content: bytes) -> bytes:
    """16 bytes that change with any byte."""
    return hashlib.blake2b(content, digest_size=16).digest()


def _digest_file(file: File) -> bytes:
    """`digest` of the length and all bytes of a file."""
    if isinstance(file, Path) and not file.is_file():  # a named pipe would wait forever
        return digest(b"0 ")
    try:
        with file.open("rb") as handle:
            total = hashlib.blake2b(b"%d " % handle.seek(0, 2), digest_size=16)
            handle.seek(0)
            while block := handle.read(BLOCK):
                total.update(block)
            return total.digest()
    except OSError:
        return digest(b"0 ")


def _pieces(file: File) -> tuple[int, bytes]:
    """Length, and pieces spread evenly from the first to the last byte; of a small file all of it."""
    if isinstance(file, Path) and not file.is_file():  # a named pipe would wait forever
        return 0, b""
    try:
        with file.open("rb") as handle:
            length = handle.seek(0, 2)
            if length <= PIECE * PIECES:
                handle.seek(0)
                return length, handle.read()
            found = b""
            for number in range(PIECES):
                handle.seek((length - PIECE) * number // (PIECES - 1))
                found += handle.read(PIECE)
            return length, found
    except OSError:
        return 0, b""


def _content(file: File) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def twins_to_leave_out(digests: Digests, splits: NDArray[np.str_]) -> dict[int, int]:
    """Find images that also occur in a split nearer to the test: row → row of its twin.

    A training or unlabeled image that is in validation or test is left out of training, and a validation image that
    is in test is left out of validation. The test is never touched.
    """
    twins: dict[int, int] = {}
    for above, below in ((VAL, (TRAIN, UNLABELED)), (TEST, (TRAIN, UNLABELED, VAL))):
        there = np.flatnonzero(splits == above)
        rows = np.flatnonzero(np.isin(splits, below))
        if not len(there) or not len(rows):
            continue
        known, first = np.unique(digests[there], return_index=True)
        at = np.searchsorted(known, digests[rows]).clip(max=len(known) - 1)
        same = known[at] == digests[rows]
        twins |= dict(zip(rows[same].tolist(), there[first[at[same]]].tolist(), strict=True))
    return dict(sorted(twins.items()))


def fingerprint(digests: Digests, labels: NDArray[np.generic], splits: NDArray[np.str_], *more: object) -> str:
    """16 hexadecimal digits that change with any image, label or split, and with what else is given."""
    total = hashlib.blake2b(repr(more).encode(), digest_size=8)
    for column in (
        digests.astype("S16"),
        labels.astype("<f8" if labels.dtype.kind == "f" else "<i8"),
        splits.astype("S10"),
    ):
        total.update(column.tobytes())
    return total.hexdigest()

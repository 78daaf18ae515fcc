"""A data set in one file that workers on any machine map into memory: those of one machine share its pages."""

import hashlib
import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from unmask.data.fingerprint import digest, digest_pieces
from unmask.data.load import Dataset
from unmask.data.pixels import StreamedPixels
from unmask.errors import UserError

_ALIGNED = 64
"""Arrays begin at multiples of so many bytes."""
_SMALL = 2**12
"""Smaller arrays are pickled like anything else."""
_SAMPLE = 256
"""Streamed images that every worker compares with the original ones."""
_digest = partial(hashlib.blake2b, digest_size=16)


@dataclass(frozen=True)
class DataFile:
    """Where a data set lies, and its digest."""

    path: str
    start: int
    """Byte at which the pickle begins; before it are the arrays that it refers to."""
    digest: str
    """Of the whole file."""
    streamed: str | None
    """Of a sample of the images that are read from files on demand; None if all are in memory."""


def digest_of(content: Any) -> str:
    """The digest of bytes by which workers check that they received what was sent."""
    return _digest(content).hexdigest()


def digest_of_file(path: Path) -> str:
    """`digest_of` a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, _digest).hexdigest()


def write_shared(data: Dataset, path: Path) -> DataFile:
    """Write a data set, including its pixels if they are in memory."""
    with path.open("wb") as stream:
        told = _Told(stream)
        text = io.BytesIO()
        _Pickler(text, told.array).dump(data)
        start = told.write(text.getvalue())
    return DataFile(str(path), start, told.digest.hexdigest(), _of_sample(data))


def read_shared(file: DataFile) -> Dataset:
    """The data set of a file; arrays are mapped, not read, and changes to them do not reach the file.

    Raises:
        UserError: the file is missing, or not the one that was written; streamed images differ from the original ones.
    """
    try:
        content = np.memmap(file.path, np.uint8, mode="c")
    except (OSError, ValueError) as error:
        raise UserError(
            f"{file.path}: cannot be read on this worker ({error}): `out` must be a folder that all machines see at "
            "the same path"
        ) from None
    if digest_of(content.data) != file.digest:
        raise UserError(f"{file.path}: is not what was written; `out` is not the same folder on all machines")
    data = _Unpickler(io.BytesIO(content[file.start :].tobytes()), np.asarray(content)).load()
    assert isinstance(data, Dataset)
    if _of_sample(data) != file.streamed:
        raise UserError("data: the images that this worker reads are not those that the comparison began with")
    return data


class _Told:
    """A file that grows, and its digest."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream, self.digest, self.end = stream, _digest(), 0

    def write(self, content: Any) -> int:
        """Append bytes; returns where they begin."""
        padded = -self.end % _ALIGNED
        start = self.end + padded
        for piece in (bytes(padded), content):
            self.stream.write(piece)
            self.digest.update(piece)
        self.end = start + len(memoryview(content).cast("B"))
        return start

    def array(self, value: np.ndarray[Any, Any]) -> tuple[int, str, tuple[int, ...]]:
        """Append an array; returns where it begins, its type and its shape."""
        return self.write(value.reshape(-1).view(np.uint8)), value.dtype.str, value.shape


class _Pickler(pickle.Pickler):
    """Stores large arrays and tensors elsewhere, each once."""

    def __init__(self, stream: io.BytesIO, put: Callable[[Any], tuple[int, str, tuple[int, ...]]]) -> None:
        super().__init__(stream, protocol=pickle.HIGHEST_PROTOCOL)
        self._put, self._known = put, dict[int, tuple[Any, Any]]()

    def persistent_id(self, value: Any) -> Any:
        """Where a large array is; None for what is pickled normally."""
        if id(value) not in self._known:
            array = value.numpy() if isinstance(value, Tensor) and _is_plain(value) else value
            if type(array) not in (np.ndarray, np.memmap) or array.nbytes < _SMALL or array.dtype.hasobject:
                return None
            if not array.flags.c_contiguous:
                return None
            self._known[id(value)] = value, (isinstance(value, Tensor), self._put(array))
        return self._known[id(value)][1]


class _Unpickler(pickle.Unpickler):
    """Takes arrays and tensors from the mapped file."""

    def __init__(self, stream: io.BytesIO, content: np.ndarray[Any, Any]) -> None:
        super().__init__(stream)
        self._content, self._known = content, dict[int, Any]()

    def persistent_load(self, where: Any) -> Any:
        """The array of a place, the same object each time."""
        is_tensor, (start, kind, shape) = where
        if start not in self._known:
            length = int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize
            array = self._content[start : start + length].view(kind).reshape(shape)
            self._known[start] = torch.from_numpy(array) if is_tensor else array
        return self._known[start]


def _is_plain(value: Tensor) -> bool:
    return value.device.type == "cpu" and value.layout == torch.strided and not value.requires_grad


def _of_sample(data: Dataset) -> str | None:
    """A digest of some streamed images, as they are stored, spread evenly over all of them."""
    pixels = data.readable.pixels
    if not isinstance(pixels, StreamedPixels):
        return None
    count = len(pixels.images)
    rows = np.unique(np.linspace(0, count - 1, min(count, _SAMPLE)).astype(np.int64))
    return digest(digest_pieces(pixels.images.take(rows)).tobytes()).hex()

"""Arrays from .npy files and members of .npz files: read only where header, length and free memory agree."""

import math
import zipfile
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from unmask.errors import UserError

_MEMORY = Path("/proc/meminfo")


def read_array(file: BinaryIO) -> NDArray[np.generic]:
    """The array of an open .npy file.

    Raises:
        UserError: not .npy, cut off, of Python objects, or larger than the memory that is free.
    """
    size = file.seek(0, 2)
    file.seek(0)
    _require_fit(file, size)
    file.seek(0)
    return cast(NDArray[np.generic], np.lib.format.read_array(file, allow_pickle=False))


def map_array(path: Path) -> NDArray[np.generic]:
    """The array of a .npy file, which stays on disk until it is used.

    Raises:
        UserError: as `read_array`, whatever the size.
    """
    with path.open("rb") as file:
        _require_length(file, path.stat().st_size)
    return np.lib.format.open_memmap(path, mode="r")


def read_member(archive: zipfile.ZipFile, name: str) -> NDArray[np.generic]:
    """An array of an open .npz file; the others are not read.

    Raises:
        UserError: as `read_array`; the file holds several of this name.
    """
    if archive.namelist().count(f"{name}.npy") > 1:
        raise UserError(f"holds several arrays called {name}")
    info = archive.getinfo(f"{name}.npy")
    try:
        with archive.open(info) as file:
            _require_fit(cast(BinaryIO, file), info.file_size)
        with archive.open(info) as file:
            values = np.lib.format.read_array(cast(BinaryIO, file), allow_pickle=False)
            file.read(1)  # at the end of the member its checksum is verified
            return cast(NDArray[np.generic], values)
    except UserError as error:
        raise UserError(f"array {name}: {error}") from None


def _require_fit(file: BinaryIO, size: int) -> None:
    """Raise `UserError` unless the header at the start of a file of `size` bytes claims exactly those that are there,
    and few enough. The file is read up to the array."""
    claimed, free = _require_length(file, size), free_memory()
    if free is not None and claimed > free:
        raise UserError(f"takes {claimed / 2**30:.1f} GiB, but {free / 2**30:.1f} GiB of memory are free")


def _require_length(file: BinaryIO, size: int) -> int:
    """Bytes of the array, exactly those that follow the header. Arguments and errors as in `_require_fit`."""
    try:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, _, kind = read(file)
    except (ValueError, KeyError, SyntaxError, RecursionError, MemoryError):
        raise UserError("not a .npy file, or damaged in its header") from None
    if kind.hasobject:
        raise UserError("holds Python objects, which are not read: store numbers or text")
    count = math.prod(int(length) for length in shape)
    claimed, there = count * kind.itemsize, size - file.tell()
    if claimed != there or (kind.itemsize == 0 and count):
        raise UserError(f"damaged: its header says {shape} of {kind}, {claimed} bytes, but {there} bytes follow")
    return claimed


def free_memory() -> int | None:
    """Bytes of memory available without swapping; None if the system does not say."""
    try:
        lines = _MEMORY.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split() for line in lines if line.startswith("MemAvailable:")]
    return int(found[0][1]) * 1024 if found else None

"""An image file wherever it is stored: on disk, within another file, or in memory. All three are read like a path."""

import io
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from unmask.errors import UserError

SMALL = 2**16
"""Up to so many bytes are read immediately rather than on demand."""


class _Named:
    """Its name in messages; its suffix is the image's."""

    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def suffix(self) -> str:
        """As a path's."""
        return suffix_of(self.name)


@dataclass(frozen=True)
class Member(_Named):
    """An image file that is a piece of another one, such as a member of a tar."""

    name: str
    path: Path
    offset: int
    size: int

    def open(self, mode: Literal["rb"] = "rb") -> BinaryIO:
        """The piece as a separate file. A large one is not read yet."""
        if self.size <= SMALL:
            return io.BytesIO(self.read_bytes())
        return io.BufferedReader(_Piece(open(self.path, mode, buffering=0), self.offset, self.size))

    def read_bytes(self) -> bytes:
        """All of it."""
        with open(self.path, "rb", buffering=0) as file:
            file.seek(self.offset)
            return file.read(self.size)


@dataclass(frozen=True)
class Encoded(_Named):
    """An image file in memory."""

    name: str
    content: bytes

    def open(self, mode: Literal["rb"] = "rb") -> BinaryIO:
        """The content as a file."""
        return io.BytesIO(self.content)

    def read_bytes(self) -> bytes:
        """All of it."""
        return self.content


File = Path | Member | Encoded


@contextmanager
def readable(file: File) -> Iterator[Path | BinaryIO]:
    """What libraries open: the path itself if there is one, else an open file."""
    if isinstance(file, Path):
        yield file
        return
    with file.open("rb") as handle:
        yield handle


def require_regular(file: File) -> None:
    """Raise `UserError` for a path that is not a file: reading a named pipe would wait forever.

    Raises:
        OSError: there is nothing, or it cannot be accessed.
    """
    if isinstance(file, Path) and not stat.S_ISREG(file.stat().st_mode):
        raise UserError("is not a file (a pipe, a device or a folder)")


def suffix_of(name: str) -> str:
    """The part from the last dot on: ".png" of "a.b/c.png", "" if there is none."""
    base = name.rpartition("/")[2]
    return f".{base.rpartition('.')[2]}" if "." in base.lstrip(".") else ""


class _Piece(io.RawIOBase):
    """Bytes `offset` to `offset + size` of an open file, seen as a whole file."""

    def __init__(self, file: io.FileIO, offset: int, size: int) -> None:
        super().__init__()
        self._file, self._offset, self._size, self._at = file, offset, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"negative position {start + offset}")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)[: max(self._size - self._at, 0)]  # type: ignore[arg-type]
        self._file.seek(self._offset + self._at)
        count = self._file.readinto(view) if len(view) else 0
        self._at += count or 0
        return count or 0

    def close(self) -> None:
        self._file.close()
        super().close()

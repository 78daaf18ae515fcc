"""Store many short texts, such as the names of a million images, in the memory of their letters plus 16 bytes each."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Texts(Sequence[str]):
    """An immutable sequence of texts in one buffer; equal to any sequence of the same texts.

    A million Python strings would take 80 MB more and, in forked workers, be copied gradually as their reference counts
    change.
    """

    content: bytes
    """All letters, UTF-8, one text after the other; bytes of file names that are not UTF-8 are kept (as surrogates)."""
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    @staticmethod
    def of(texts: Iterable[str]) -> "Texts":
        """The texts in order."""
        content, ends = bytearray(), array("q")
        for text in texts:
            content += text.encode("utf-8", "surrogateescape")
            ends.append(len(content))
        after = np.array(ends, np.int64)
        return Texts(bytes(content), np.concatenate([np.zeros(min(1, len(after)), np.int64), after[:-1]]), after)

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, at: int) -> str: ...

    @overload
    def __getitem__(self, at: slice) -> "Texts": ...

    def __getitem__(self, at: int | slice) -> "str | Texts":
        if isinstance(at, slice):
            return Texts(self.content, self.starts[at], self.ends[at])
        return self.content[self.starts[at] : self.ends[at]].decode("utf-8", "surrogateescape")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(str.__eq__, self, other))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"Texts{tuple(self)}" if len(self) <= 10 else f"Texts({self[0]!r}, ..., {self[-1]!r}; {len(self)})"


def take(texts: Sequence[str], rows: NDArray[np.int64]) -> Sequence[str]:
    """The texts at `rows`, in that order."""
    if isinstance(texts, Texts):
        return Texts(texts.content, texts.starts[rows], texts.ends[rows])
    return tuple(texts[row] for row in rows.tolist())

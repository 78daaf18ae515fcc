"""Which images of a pool may be chosen next: none twice, none that repeats another, groups in turn."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Repeats = Callable[[int, Sequence[int]], bool]
"""Whether an image shows the same as one of others."""


class Candidates:
    """Images that may be chosen.

    Groups take turns: as long as a group has a free image, no other group gets two more than it. Labeled images count.
    """

    def __init__(
        self,
        count: int,
        *,
        labeled: Sequence[int] = (),
        groups: NDArray[np.int64] | None = None,
        repeats: Repeats | None = None,
    ) -> None:
        """For `count` images; `labeled` are already taken, `groups` names the group of each, (count,)."""
        self._free = np.ones(count, bool)
        self._groups = np.arange(count) if groups is None else np.unique(groups, return_inverse=True)[1]
        self._uses = np.zeros(int(self._groups.max(initial=-1)) + 1, np.int64)
        self._repeats = repeats
        self.taken: list[int] = []
        """Labeled and chosen images, in order."""
        for row in labeled:
            self.take(row)

    def open(self) -> NDArray[np.bool_]:
        """Which images may be chosen now: those of groups with the fewest labels among groups with free images."""
        uses = self._uses[self._groups]
        fewest = uses[self._free].min(initial=np.iinfo(np.int64).max)
        return self._free & (uses == fewest)

    def take(self, row: int) -> None:
        """Choose an image."""
        self._free[row] = False
        self._uses[self._groups[row]] += 1
        self.taken.append(row)

    def refuse(self, row: int) -> bool:
        """Whether an image repeats one that was taken; it is then no longer a candidate."""
        if self._repeats is None or not self._repeats(row, self.taken):
            return False
        self._free[row] = False
        return True

"""Sufficient views: disjoint sets of cells each of which, shown alone, is enough for the correct answer.

Sufficient input subsets (Carter, Mueller, Jain and Gifford, "What made you do this?", AISTATS 2019) at the level of
cells. Their backward selection hides one cell at a time; here up to a share of the cells is hidden at a time, least
important first, blocks before single cells, and every step is checked. All sets found are disjoint and sufficient, so
their number is a lower bound of the largest possible one, for any budget.

Disjoint sets may be pieces of one feature: half of a large part is often enough. So by default cells next to a set are
removed with it, and sets at separate places are counted; with `gap` 0 sets may touch, as in the paper.

One search is a generator: it yields the cells to show, and is sent the answers. So the same code runs alone, or
together with the searches of all other images in large batches.

Letters: N images, n cells, m candidates.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from unmask.audit.measures.occlusion import Answer, Ask, Grid

Cells = NDArray[np.bool_]
Status = Literal["kept", "fill", "missed"]
SHARE = 0.5
"""Largest share of the groups that one step hides."""
FINE = 16
"""Number of cells up to which cells are hidden one by one instead of in blocks of 2 x 2."""


@dataclass(frozen=True)
class Views:
    """The result of the search in one image."""

    cells: NDArray[np.int64]
    """Set of each cell, [n]: 0 for none, 1 for the first set found, and so on."""
    status: Status
    """kept: searched. fill: left out, the fill alone suffices. missed: left out, the whole image does not suffice."""
    complete: bool
    """Whether the search finished: the last rest was not sufficient. False: it ran out of budget."""
    evaluations: int

    @property
    def count(self) -> int:
        """Number of sufficient sets."""
        return int(self.cells.max(initial=0))


Search = Generator[Cells, Answer, Views]


def search(grid: Grid, margin: float, evaluations: int, gap: int = 1) -> Search:
    """Search one image. Yields cells to show, bool [m, n]; is sent (margin [m], log-odds [m]); returns `Views`. Cells
    suffice if the margin is reached; there are at least two evaluations, and `gap` cells between two sets."""
    n, places = grid.cells, np.stack(np.divmod(np.arange(grid.cells), grid.shape[1]))
    near = np.abs(places[:, :, None] - places[:, None, :]).max(0) <= gap  # diagonals included
    labels = np.zeros(n, np.int64)
    found = yield np.stack([np.ones(n, bool), np.zeros(n, bool)])
    purse = _Purse(evaluations - 2)
    if found[0][1] >= margin or not found[0][0] >= margin:
        return Views(labels, "fill" if found[0][1] >= margin else "missed", True, 2)
    rest, sufficient = np.ones(n, bool), True
    while sufficient:
        least, ended = yield from _least(rest, grid, margin, purse)
        labels[least] = labels.max() + 1
        rest = rest & ~near[least].any(0)
        if ended or not rest.any() or not purse.pays(1):
            return Views(labels, "kept", not ended and not rest.any(), evaluations - purse.left)
        sufficient = bool((yield from purse.ask(rest[None]))[0][0] >= margin)
    return Views(labels, "kept", True, evaluations - purse.left)


class _Purse:
    """The remaining evaluations."""

    def __init__(self, left: int) -> None:
        self.left = left

    def pays(self, count: int) -> bool:
        return count <= self.left

    def ask(self, shown: Cells) -> Generator[Cells, Answer, Answer]:
        """Ask, at the cost of the evaluations."""
        self.left -= len(shown)
        return (yield shown)


def _least(shown: Cells, grid: Grid, margin: float, purse: _Purse) -> Generator[Cells, Answer, tuple[Cells, bool]]:
    """From sufficient cells to a small sufficient subset, and whether the budget ended the search early.

    If it did not, no single cell can be removed from the subset.
    """
    for groups, enough in ((_blocks(grid), FINE), (np.eye(grid.cells, dtype=bool), 1)):
        while True:
            present = groups[(groups & shown).any(1)]
            if shown.sum() <= enough or len(present) < 2:
                break
            steps = _steps(len(present))
            if not purse.pays(len(present) + len(steps)):
                return shown, True
            without = shown & ~present
            margins, odds = yield from purse.ask(without)
            # Groups whose removal leaves enough come first; rounded, so that the batch size does not break ties.
            order = np.lexsort((-np.round(odds, 5), ~(margins >= margin)))
            smaller = [shown & ~present[order[:k]].any(0) for k in steps]
            tried = (yield from purse.ask(np.stack(smaller)))[0] if steps else ()
            fitting = [cells for cells, value in zip(smaller, tried, strict=True) if value >= margin]
            if fitting:
                shown = fitting[0]
            elif margins[order[0]] >= margin:
                shown = without[order[0]]
            else:
                break
    return shown, False


def _steps(count: int) -> list[int]:
    """How many of the least important groups a step tries to hide together, most first: half of them, a quarter, ..."""
    return [k for i in range(1, 8) if (k := int(SHARE**i * count)) > 1]


def _blocks(grid: Grid) -> Cells:
    """Blocks of 2 x 2 cells, each as a row of bool [blocks, n]."""
    rows, columns = np.divmod(np.arange(grid.cells), grid.shape[1])
    block = rows // 2 * grid.shape[1] + columns // 2
    return np.unique(block)[:, None] == block


def sufficient_views(ask: Ask, count: int, grid: Grid, *, margin: float, evaluations: int, gap: int = 1) -> list[Views]:
    """Search all images together: every round asks the open questions of all searches in large batches.

    Args:
        ask: the network, see `unmask.audit.measures.occlusion.asking`.
        count: N; `ask` knows the images by their number.
        margin: how much more probable the correct class must be than any other, the same for every network.
        evaluations: most answers per image.
        gap: least number of cells between two sets of an image.

    Returns:
        The result for each image.
    """
    running = {i: search(grid, margin, evaluations, gap) for i in range(count)}
    wanted = {i: next(one) for i, one in running.items()}
    done: dict[int, Views] = {}
    while wanted:
        rows = np.repeat(list(wanted), [len(cells) for cells in wanted.values()])
        answers = ask(rows, np.concatenate(list(wanted.values())))
        start = 0
        for i, cells in list(wanted.items()):
            here = slice(start, start := start + len(cells))
            try:
                wanted[i] = running[i].send((answers[0][here], answers[1][here]))
            except StopIteration as end:
                done[i] = end.value
                del wanted[i]
    return [done[i] for i in range(count)]


def kept_by_all(found: Sequence[Sequence[Views]]) -> list[int]:
    """Images that were searched in every one of several networks."""
    return [i for i, views in enumerate(zip(*found, strict=True)) if all(one.status == "kept" for one in views)]

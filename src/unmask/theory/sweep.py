"""Grids over parameters and seeds → one tidy table: a list of rows, each a flat dict."""

import csv
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch

from unmask.config.validation import require_at_least
from unmask.errors import UserError
from unmask.theory.axes import Axis, parse_axes, vary
from unmask.theory.jobs import Memo, Tally, Told, silent, torch_threads
from unmask.theory.jobs_elsewhere import Elsewhere, Piece
from unmask.theory.learner_errors import downstream_rows, learner_rows
from unmask.theory.problem import World, world
from unmask.theory.setting import Setting
from unmask.theory.sweep_measures import Row, capture_rows, correlation_rows, phase_rows, purity_rows

Point = tuple[dict[str, float], Setting]
"""A point of a grid: what is varied, and the setting that it gives."""
Measure = Callable[[Sequence[World]], list[list[Row]]]
"""The worlds of all seeds at one grid point → the rows of each."""
ENDINGS = (".csv", ".parquet")


class UnfinishedSweepError(UserError):
    """Not every point could be computed; `rows` are from the others."""

    def __init__(self, why: str, rows: list[Row]) -> None:
        super().__init__(why)
        self.rows = rows


def measure_of(name: str, memo: Memo | None = None) -> tuple[Measure, tuple[str, ...]]:
    """The measure named `name`, and its default axes; `memo` holds what points share."""
    memo = memo or Memo()
    measures: dict[str, tuple[Measure, tuple[str, ...]]] = {
        "phases": (phase_rows, ("mask_ratio=0:0.9:16", "teacher_scale=1.2:1.8:9")),
        "capture": (capture_rows, ()),
        "purity": (purity_rows, ("kernels_per_class=8,16,32,64",)),
        "learners": (partial(learner_rows, memo=memo), ("labeled_single_share=0,0.01,0.05,0.2",)),
        "downstream": (partial(downstream_rows, memo=memo), ("missing=0,4,10",)),
        "correlations": (partial(correlation_rows, memo=memo), ()),
    }
    if name not in measures:
        raise UserError(f"measure = {name!r} is unknown: expected one of {', '.join(measures)}")
    return measures[name]


def axes_of(measure: str, over: Sequence[str] = ()) -> list[Axis]:
    """The requested axes, else those of the measure."""
    return parse_axes(over or measure_of(measure)[1])


def run_sweep(
    setting: Setting,
    axes: Sequence[Axis],
    measure: str,
    *,
    seeds: int = 1,
    float64: bool = False,
    told: Told = silent,
    elsewhere: Elsewhere | None = None,
) -> list[Row]:
    """A measure, by its name, at every grid point for seeds 0..seeds-1; see `sweep`.

    Raises:
        UnfinishedSweepError: some points failed while `elsewhere` ran them.
    """
    require_at_least("seeds", seeds, 1)
    kind = torch.float64 if float64 else torch.float32
    grid = Grid(measure, grid_of(setting, axes), range(seeds))
    tally, found = Tally(grid.work, told), dict[int, list[list[Row]]]()
    try:
        for _, index, rows in measured([grid], tally, kind, elsewhere):
            found[index] = rows
    except UserError as error:
        if elsewhere is None:
            raise
        raise UnfinishedSweepError(str(error), tidy(grid.points, grid.seeds, found)) from None
    return tidy(grid.points, grid.seeds, found)


@dataclass(frozen=True)
class Grid:
    """The work: a measure, by its name, at every point, all seeds of a point as one batch."""

    measure: str
    points: Sequence[Point]
    seeds: Sequence[int]
    size: int = 1
    """Work per point and seed."""

    @property
    def work(self) -> int:
        """Total work, in the units of `size`."""
        return self.size * len(self.points) * len(self.seeds)


def measured(
    grids: Sequence[Grid], tally: Tally, dtype: torch.dtype = torch.float32, elsewhere: Elsewhere | None = None
) -> Iterator[tuple[int, int, list[list[Row]]]]:
    """Index of the grid, index of its point and the rows of each seed, as they are computed, the largest points first.

    Points share what is equal in them: all points if computed here, those of one process if `elsewhere`.
    """
    run = uuid4().hex
    places = [(g, i) for g, grid in enumerate(grids) for i in range(len(grid.points))]
    places.sort(key=lambda place: -grids[place[0]].size * len(grids[place[0]].seeds))  # so that processes end together
    pieces = [(_measure_point, _point_of(grids[g], i, dtype, run)) for g, i in places]
    for index, rows in (elsewhere or _here)(pieces):
        g, i = places[index]
        tally.add(grids[g].size * len(grids[g].seeds))
        yield g, i, rows


def _point_of(grid: Grid, index: int, dtype: torch.dtype, run: str) -> tuple[Any, ...]:
    """The arguments of `_measure_point` except the last."""
    measure_of(grid.measure)
    point, setting = grid.points[index]
    return _point_name(point), setting, grid.seeds, dtype, grid.measure, run


def _here(pieces: Sequence[Piece]) -> Iterator[tuple[int, Any]]:
    """The pieces one by one, each with one thread."""
    for index, (function, arguments) in enumerate(pieces):
        with torch_threads(1):
            result = function(*arguments, None)
        yield index, result


def _point_name(point: dict[str, float]) -> str:
    return ", ".join(f"{name} = {value:g}" for name, value in point.items()) or "the only point"


def _measure_point(
    name: str, setting: Setting, seeds: Sequence[int], dtype: torch.dtype, measure: str, run: str, data: None
) -> list[list[Row]]:
    """The rows of a grid point for each seed, in a process that works on one point at a time."""
    return measure_of(measure, _memo_of(run))[0]([world(setting, seed, dtype) for seed in seeds])


@lru_cache(maxsize=1)
def _memo_of(run: str) -> Memo:
    """What the points of one run that one process computes share."""
    return Memo()


def sweep(
    setting: Setting,
    axes: Sequence[Axis],
    seeds: Sequence[int],
    measure: Measure,
    dtype: torch.dtype = torch.float32,
) -> list[Row]:
    """A measure at every grid point, all seeds of a point as one batch; impossible points are refused beforehand."""
    points = grid_of(setting, axes)
    with torch_threads(1):
        found = [measure([world(s, seed, dtype) for seed in seeds]) for _, s in points]
    return tidy(points, seeds, dict(enumerate(found)))


def grid_of(setting: Setting, axes: Sequence[Axis]) -> list[Point]:
    """Every grid point and its setting; UserError names the first field that is out of range."""
    names = [name for name, _ in axes]
    points = [dict(zip(names, values, strict=True)) for values in itertools.product(*(v for _, v in axes))]
    return [(point, vary(setting, point)) for point in points]


def tidy(points: Sequence[Point], seeds: Sequence[int], found: Mapping[int, list[list[Row]]]) -> list[Row]:
    """The rows of the computed points, by their index, and of every seed, each with point and seed first."""
    return [
        {**points[index][0], "seed": seed, **row}
        for index in sorted(found)
        for seed, mine in zip(seeds, found[index], strict=True)
        for row in mine
    ]


def table_path(out: str) -> Path:
    """The path of a writable table; its folder is created."""
    path = Path(out)
    if path.suffix not in ENDINGS:
        raise UserError(f"out = {out!r}: the ending must be {' or '.join(ENDINGS)}")
    if path.is_dir():
        raise UserError(f"out = {out!r} is a folder: name a file in it")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write_table(rows: Sequence[Row], out: str) -> Path:
    """Write .csv, or .parquet (needs pyarrow)."""
    path = table_path(out)
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
        return path
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path

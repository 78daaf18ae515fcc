"""Grids over parameters and seeds → one tidy table: a list of rows, each a flat dict."""

import csv
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch

from unmask.config.validation import require_at_least
from unmask.errors import UserError
from unmask.theory.axes import Axis, parse_axes, vary
from unmask.theory.jobs import Memo, Tally, Told, silent, threads, torch_threads
from unmask.theory.learner_errors import downstream_rows, learner_rows
from unmask.theory.problem import World, world
from unmask.theory.setting import Setting
from unmask.theory.sweep_measures import Row, capture_rows, correlation_rows, phase_rows, purity_rows

Point = tuple[dict[str, float], Setting]
"""A point of a grid: what is varied, and the setting that it gives."""
Measure = Callable[[Sequence[World]], list[list[Row]]]
"""The worlds of all seeds at one grid point → the rows of each."""
Elsewhere = Callable[[Sequence[tuple[Callable[..., Any], tuple[Any, ...]]]], Iterator[tuple[int, Any]]]
"""Runs each piece as function(*arguments, None), with one thread; gives index and result of each as it ends."""
ENDINGS = (".csv", ".parquet")


class UnfinishedSweepError(UserError):
    """Not every point could be computed; `rows` are those of the others."""

    def __init__(self, why: str, rows: list[Row]) -> None:
        super().__init__(why)
        self.rows = rows


def measure_of(name: str, memo: Memo | None = None) -> tuple[Measure, tuple[str, ...]]:
    """The measure called `name`, and the axes it is swept over where none are given; `memo` holds what points share."""
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
        raise UserError(f"measure = {name!r} is unknown: allowed is one of {', '.join(measures)}")
    return measures[name]


def axes_of(measure: str, over: Sequence[str] = ()) -> list[Axis]:
    """The axes that are asked for, else those of the measure."""
    return parse_axes(over or measure_of(measure)[1])


def run_sweep(
    setting: Setting,
    axes: Sequence[Axis],
    measure: str,
    *,
    seeds: int = 1,
    workers: int = 1,
    float64: bool = False,
    told: Told = silent,
    elsewhere: Elsewhere | None = None,
) -> list[Row]:
    """A measure, by its name, at every grid point for seeds 0..seeds-1; see `sweep`.

    With `elsewhere` a grid point is a piece of work for it, and `workers` is not used.

    Raises:
        UnfinishedSweepError: some points failed there.
    """
    require_at_least("seeds", seeds, 1)
    require_at_least("workers", workers, 1)
    kind = torch.float64 if float64 else torch.float32
    if elsewhere is None:
        return sweep(setting, axes, range(seeds), measure_of(measure)[0], workers, kind, told=told)
    return _sweep_elsewhere(elsewhere, grid_of(setting, axes), range(seeds), measure, kind, told)


def _sweep_elsewhere(
    elsewhere: Elsewhere, points: Sequence[Point], seeds: Sequence[int], measure: str, dtype: torch.dtype, told: Told
) -> list[Row]:
    measure_of(measure)
    tally, found, sweep = Tally(len(points) * len(seeds), told), dict[int, list[list[Row]]](), uuid4().hex
    pieces = [(_measure_point, (_point_name(point), s, seeds, dtype, measure, sweep)) for point, s in points]
    try:
        for index, rows in elsewhere(pieces):
            found[index] = rows
            tally.add(len(seeds))
    except UserError as error:
        raise UnfinishedSweepError(str(error), _tidy_of(points, seeds, found)) from None
    return _tidy_of(points, seeds, found)


def _tidy_of(points: Sequence[Point], seeds: Sequence[int], found: Mapping[int, list[list[Row]]]) -> list[Row]:
    """`_tidy` of the points whose rows were found, by their index."""
    done = sorted(found)
    return _tidy([points[index] for index in done], seeds, [found[index] for index in done])


def _point_name(point: dict[str, float]) -> str:
    return ", ".join(f"{name} = {value:g}" for name, value in point.items()) or "the only point"


def _measure_point(
    name: str, setting: Setting, seeds: Sequence[int], dtype: torch.dtype, measure: str, sweep: str, data: None
) -> list[list[Row]]:
    """The rows of a grid point for each seed, in a process that works on one point at a time."""
    return _shared_measure(measure, sweep)([world(setting, seed, dtype) for seed in seeds])


@lru_cache(maxsize=1)
def _shared_measure(measure: str, sweep: str) -> Measure:
    """The measure of one sweep, so that its points in one process share what is equal in them."""
    return measure_of(measure)[0]


def sweep(
    setting: Setting,
    axes: Sequence[Axis],
    seeds: Sequence[int],
    measure: Measure,
    workers: int = 1,
    dtype: torch.dtype = torch.float32,
    told: Told = silent,
) -> list[Row]:
    """A measure at every grid point, all seeds of a point as one batch; impossible points are refused before."""
    points = grid_of(setting, axes)
    tally = Tally(len(points) * len(seeds), told)
    with torch_threads(1), threads(workers) as pool:
        return begin_sweep(pool, points, seeds, measure, tally, dtype)()


def grid_of(setting: Setting, axes: Sequence[Axis]) -> list[Point]:
    """Every grid point and its setting; UserError names the first field that is out of range."""
    names = [name for name, _ in axes]
    points = [dict(zip(names, values, strict=True)) for values in itertools.product(*(v for _, v in axes))]
    return [(point, vary(setting, point)) for point in points]


def begin_sweep(
    pool: ThreadPoolExecutor,
    points: Sequence[Point],
    seeds: Sequence[int],
    measure: Measure,
    tally: Tally,
    dtype: torch.dtype = torch.float32,
    size: int = 1,
) -> Callable[[], list[Row]]:
    """Submit a measure of every grid point, one job per point.

    Args:
        pool: where the jobs run.
        points: the grid, see `grid_of`.
        seeds: seeds of the worlds at every point.
        measure: the worlds of a point → the rows of each.
        tally: counts `size` a point and seed.
        dtype: number type of the runs.
        size: work of one point and seed.

    Returns:
        A function that waits for the jobs and gives the rows, each with the point and the seed first.
    """
    counted = tally.counted(lambda s: measure([world(s, seed, dtype) for seed in seeds]), size * len(seeds))
    jobs = [pool.submit(counted, setting) for _, setting in points]

    return lambda: _tidy(points, seeds, [job.result() for job in jobs])


def _tidy(points: Sequence[Point], seeds: Sequence[int], found: Sequence[list[list[Row]]]) -> list[Row]:
    """The rows of every point and seed, each with the point and the seed first."""
    return [
        {**point, "seed": seed, **row}
        for (point, _), of_point in zip(points, found, strict=True)
        for seed, mine in zip(seeds, of_point, strict=True)
        for row in mine
    ]


def table_path(out: str) -> Path:
    """The path of a table that can be written; its folder is made."""
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

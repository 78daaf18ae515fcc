"""Grids over parameters and seeds → one tidy table: a list of rows, each a flat dict."""

import csv
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from pathlib import Path

import torch

from unmask.config.validation import require_at_least
from unmask.errors import UserError
from unmask.theory.axes import Axis, parse_axes, vary
from unmask.theory.jobs import Memo, Tally, Told, parallel, silent, torch_threads
from unmask.theory.learner_errors import downstream_rows, learner_rows
from unmask.theory.problem import World, world
from unmask.theory.setting import Setting
from unmask.theory.sweep_measures import Row, capture_rows, correlation_rows, phase_rows, purity_rows

Measure = Callable[[World], list[Row]]
ENDINGS = (".csv", ".parquet")


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


def points_of(axes: Sequence[Axis]) -> int:
    """Grid points of axes."""
    return prod(len(values) for _, values in axes)


def run_sweep(
    setting: Setting,
    axes: Sequence[Axis],
    measure: str,
    *,
    seeds: int = 1,
    workers: int = 1,
    float64: bool = False,
    told: Told = silent,
) -> list[Row]:
    """A measure, by its name, at every grid point for seeds 0..seeds-1; see `sweep`."""
    require_at_least("seeds", seeds, 1)
    require_at_least("workers", workers, 1)
    kind = torch.float64 if float64 else torch.float32
    return sweep(setting, axes, range(seeds), measure_of(measure)[0], workers, kind, told=told)


def sweep(
    setting: Setting,
    axes: Sequence[Axis],
    seeds: Sequence[int],
    measure: Measure,
    workers: int = 1,
    dtype: torch.dtype = torch.float32,
    tally: Tally | None = None,
    size: int = 1,
    told: Told = silent,
) -> list[Row]:
    """measure(world) at every grid point for every seed; impossible points are refused before the first run."""
    names = [name for name, _ in axes]
    points = [dict(zip(names, values, strict=True)) for values in itertools.product(*(v for _, v in axes))]
    jobs = [(point, world(vary(setting, point), seed, dtype)) for point in points for seed in seeds]
    counted = (tally or Tally(size * len(jobs), told)).counted(measure, size)
    with torch_threads(1):
        found = parallel(counted, [w for _, w in jobs], workers)
    return [{**point, "seed": w.seed, **row} for (point, w), rows in zip(jobs, found, strict=True) for row in rows]


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

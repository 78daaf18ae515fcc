"""Configurations of `unmask theory verify | sweep | report`. Imports neither torch nor numpy: --help is fast."""

from dataclasses import dataclass
from typing import Annotated

import tyro


@dataclass(frozen=True, kw_only=True)
class VerifyConfig:
    """Check every claim of the theory. Exit code 1 if one that is proven fails.

    Example: unmask theory verify --preset paper-small --seeds 10
    """

    preset: str = "paper-small"
    """paper-small, paper, or asymptotic-K (the schedules at k = K classes)."""
    seeds: int = 10
    """Number of seeds; they are 0, 1, 2, ..."""
    json: bool = False
    """Print a JSON list of verdicts instead of a table."""
    break_: Annotated[str | None, tyro.conf.arg(name="break")] = None
    """Switch off one assumption: large_start, quadratic, many_single, faint_equals_other, window, mask, missing,
    few_kernels.
    """
    float64: bool = False
    """Compute in float64 instead of float32."""
    workers: int = 2
    """Threads; each works on one seed at a time. Changes the speed only."""


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """Vary parameters of a preset on a grid: a table, one or more rows a point and seed, and its figure.

    Example: unmask theory sweep --over mask_ratio=0:0.95:20 --over teacher_scale=1.2:1.8:9 --out phases.csv
    """

    over: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """An axis, NAME=LOW:HIGH:COUNT or NAME=A,B,C; NAME is a field of the setting or of its data. Repeat for more
    (default: the axes that fit the measure).
    """
    preset: str = "paper-small"
    """The setting that is varied."""
    seeds: int = 1
    """Seeds at every point."""
    measure: str = "phases"
    """phases: grows alone, only together, dead. capture: coverage and purity over time. purity: the same at given
    predicted coverages. learners: test errors of SL and MRP. downstream: the same apart for features that pretraining
    has seen and has not. correlations: kernels x features before and after, MRP and SL.
    """
    out: str = "theory-sweep.csv"
    """Table: .csv or .parquet; the figure of it goes beside, with the ending .png."""
    float64: bool = False
    """Compute in float64 instead of float32."""
    workers: int = 2
    """Threads."""


@dataclass(frozen=True, kw_only=True)
class TheoryReportConfig:
    """Write one HTML page with the verdicts and the figures.

    Example: unmask theory report --seeds 3 --out theory.html
    """

    out: str = "theory.html"
    """The page."""
    preset: str = "paper-small"
    """The setting."""
    seeds: int = 3
    """Seeds of the verdicts."""
    workers: int = 2
    """Threads."""

"""Configurations of `unmask theory verify | sweep | report`. Imports neither torch nor numpy: --help is fast."""

from dataclasses import dataclass
from typing import Annotated

import tyro


@dataclass(frozen=True, kw_only=True)
class VerifyConfig:
    """Check every claim of the theory. Exit code 1 if one that is proven fails."""

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
    workers: int = 2
    """Threads; each works on one seed at a time. Changes the speed only."""


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """Vary parameters of a preset on a grid; one row a point and seed."""

    over: tuple[str, ...] = ("mask_ratio=0:0.9:10",)
    """Axes, each NAME=LOW:HIGH:COUNT or NAME=A,B,C. NAME is a field of the setting or of its data."""
    preset: str = "paper-small"
    """The setting that is varied."""
    seeds: int = 1
    """Seeds at every point."""
    measure: str = "phases"
    """phases (grows alone, together, dead), pretraining (coverage, purity), learners (errors of SL and fine-tuning)."""
    out: str = "theory-sweep.csv"
    """Table: .csv or .parquet; the figure of it goes beside, with the ending .png."""
    workers: int = 2
    """Threads."""


@dataclass(frozen=True, kw_only=True)
class TheoryReportConfig:
    """Write one HTML page with the verdicts and the figures."""

    out: str = "theory.html"
    """The page."""
    preset: str = "paper-small"
    """The setting."""
    seeds: int = 3
    """Seeds of the verdicts."""
    workers: int = 2
    """Threads."""

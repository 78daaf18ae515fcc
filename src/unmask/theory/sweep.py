"""Grids over parameters and seeds → one tidy table: a list of rows, each a flat dict."""

import csv
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

import torch

from unmask.errors import UserError
from unmask.theory.capture import captured, coverage, features_per_kernel, purity, views_per_class
from unmask.theory.checks_exact import grows
from unmask.theory.commands import SweepConfig
from unmask.theory.distribution import Distribution
from unmask.theory.experiment import parallel
from unmask.theory.laws import critical_mask_ratio, one_feature, support_of
from unmask.theory.mrp import pretrain
from unmask.theory.occupancy import time_of_full_coverage
from unmask.theory.presets import preset
from unmask.theory.problem import World, world
from unmask.theory.setting import Setting
from unmask.theory.supervision import error, fine_tune, linear_probe, train_from_scratch

Row = dict[str, float | int | str]
PHASES = ("dead", "grows only together", "grows alone")


def parse_axis(text: str) -> tuple[str, list[float]]:
    """NAME=LOW:HIGH:COUNT (equal steps) or NAME=A,B,C → (name, values)."""
    name, equals, values = text.partition("=")
    known = {f.name for f in (*fields(Setting), *fields(Distribution))} - {"data"}
    if not equals or name not in known:
        raise UserError(f"over = {text!r}: {name!r} is no field; write NAME=LOW:HIGH:COUNT with a field of the setting")
    try:
        if ":" in values:
            low, high, count = values.split(":")
            return name, torch.linspace(float(low), float(high), int(count), dtype=torch.float64).tolist()
        return name, [float(v) for v in values.split(",")]
    except ValueError:
        raise UserError(f"over = {text!r}: {values!r} is neither LOW:HIGH:COUNT nor A,B,C") from None


def vary(setting: Setting, changes: Mapping[str, float]) -> Setting:
    """The setting with fields changed by name, in the setting or in its data; integer fields stay integers."""
    own: dict[str, object] = {}
    data: dict[str, object] = {}
    for name, value in changes.items():
        target, source = (data, setting.data) if hasattr(setting.data, name) else (own, setting)
        old = getattr(source, name)
        if isinstance(old, tuple):
            target[name] = (value, value)
        else:
            target[name] = type(old)(round(value)) if isinstance(old, int) else value
    return replace(setting, data=replace(setting.data, **data), **own)  # type: ignore[arg-type]


def run_sweep(config: SweepConfig) -> list[Row]:
    """Every grid point and seed of the configuration."""
    measures: dict[str, Callable[[World], Row]] = {
        "phases": phase_row,
        "pretraining": pretraining_row,
        "learners": learner_row,
    }
    if config.measure not in measures:
        raise UserError(f"measure = {config.measure!r} is unknown: allowed is {', '.join(measures)}")
    return sweep(
        preset(config.preset),
        [parse_axis(axis) for axis in config.over],
        range(config.seeds),
        measures[config.measure],
        config.workers,
    )


def sweep(
    setting: Setting,
    axes: Sequence[tuple[str, Sequence[float]]],
    seeds: Sequence[int],
    measure: Callable[[World], Row],
    workers: int = 1,
) -> list[Row]:
    """measure(world) at every grid point for every seed; impossible points are refused before the first run."""
    names = [name for name, _ in axes]
    points = [dict(zip(names, values, strict=True)) for values in itertools.product(*(v for _, v in axes))]
    jobs = [(point, world(vary(setting, point), seed)) for point in points for seed in seeds]
    rows = parallel(measure, [w for _, w in jobs], workers)
    return [{**point, "seed": w.seed, **row} for (point, w), row in zip(jobs, rows, strict=True)]


def phase_row(w: World) -> Row:
    """Phase of one view alone and of all views of a class together, from small weights; predicted boundaries."""
    s = w.setting
    q, tau, b = s.power, s.teacher_scale, s.gain
    samples = w.unlabelled()
    alone, together = grows(s, w, 1), grows(s, w, s.data.views)
    support = {m: support_of(samples, torch.arange(m), q) for m in (1, s.data.views)}
    return {
        "phase": PHASES[2 if alone else 1 if together else 0],
        "stays_finite": int(s.effective_gain > tau),
        "predicted_alone": critical_mask_ratio(q, tau, b, support[1]),
        "predicted_together": critical_mask_ratio(q, tau, b, support[s.data.views]),
    }


def pretraining_row(w: World) -> Row:
    """Coverage, purity and features a kernel at the T of 50 % and of 99.9 % predicted coverage."""
    s = w.setting
    law = one_feature(w.unlabelled(), w.v, s)
    full = time_of_full_coverage([law], s.init_scale, s.kernels)
    half = time_of_full_coverage([law], s.init_scale, s.kernels, 0.5)
    if full == float("inf"):
        return {"full_time": full, "coverage": 0.0, "purity": 1.0, "features_per_kernel": 0.0}
    held = captured(pretrain([w], torch.tensor([half, full], dtype=torch.float64)).correlation[:, 0], s)
    return {
        "half_time": half,
        "full_time": full,
        "coverage_half": float(coverage(held[0])),
        "coverage": float(coverage(held[1])),
        "purity_half": float(purity(held[0])),
        "purity": float(purity(held[1])),
        "features_per_kernel_half": float(features_per_kernel(held[0])),
        "features_per_kernel": float(features_per_kernel(held[1])),
    }


def learner_row(w: World) -> Row:
    """Test errors of SL, fine-tuning and linear probe on both kinds, and views a class of SL."""
    s = w.setting
    law = one_feature(w.unlabelled(), w.v, s)
    full = time_of_full_coverage([law], s.init_scale, s.kernels)
    encoder = pretrain([w], torch.tensor([min(full, 1e6)], dtype=torch.float64)).weights[-1]
    scratch = train_from_scratch([w])
    row: Row = {}
    for name, learner in (
        ("scratch", scratch),
        ("fine_tuned", fine_tune([w], encoder)),
        ("probe", linear_probe([w], encoder)),
    ):
        for single, kind in ((False, "multi"), (True, "single")):
            row[f"{name}_{kind}"] = error(learner.weights[0], learner.head[0], w.test(single), s)
    own = torch.arange(s.kernels)[:, None] // s.kernels_per_class
    mine = own == torch.arange(s.data.features) // s.data.views
    held = captured(scratch.weights[0] @ w.v.T, s) & mine
    row["scratch_views"] = float(views_per_class(held, s.data.views).double().mean())
    row["scratch_time"] = float(scratch.time[0])
    return row


def write_table(rows: Sequence[Row], out: str) -> Path:
    """Write .csv, or .parquet (needs pyarrow)."""
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    else:
        raise UserError(f"out = {out!r}: the ending must be .csv or .parquet")
    return path

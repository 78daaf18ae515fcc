"""All verdicts of a setting."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from unmask.errors import UserError
from unmask.theory import checks_downstream, experiment
from unmask.theory.broken_assumptions import broken
from unmask.theory.checks_binding import binding_checks
from unmask.theory.checks_coverage import coverage_checks, unbound_check
from unmask.theory.checks_data import data_checks
from unmask.theory.checks_downstream import downstream_checks
from unmask.theory.checks_exact import exact_checks
from unmask.theory.checks_learners import learner_checks
from unmask.theory.checks_objectives import objective_checks
from unmask.theory.experiment import Experiment, run_experiment
from unmask.theory.jobs import Jobs, JobsHere, Tally, Told, silent, threads, torch_threads
from unmask.theory.jobs_elsewhere import Elsewhere, JobsElsewhere, LostPieceError
from unmask.theory.presets import preset
from unmask.theory.setting import Setting, require_growth_window
from unmask.theory.verdict import Verdict, attempt, failed, impossible

PARTS = (160, 70, 53, 12, 3)
"""Work of the parts that need no run, the longest first, in the units of `experiment.SIZES`."""


def verify(
    name: str,
    seeds: int,
    break_: str | None = None,
    workers: int = 1,
    float64: bool = False,
    told: Told = silent,
    first: int = 0,
    elsewhere: Elsewhere | None = None,
) -> list[Verdict]:
    """Verdicts of a preset over seeds first..first+seeds-1, with one assumption switched off if `break_` names it.

    Workers share torch's threads: with as many workers as threads each seed has one thread, best for small
    matrices; with one worker (`paper`) each seed has all. With `elsewhere`, runs and checks are pieces of work for it,
    each with one thread, and `workers` is not used. The checks of gradients, decoupling and fixed points are always in
    float64, the others if `float64`.

    Raises:
        UserError: bad arguments, or a piece was lost elsewhere.
    """
    if seeds < 1:
        raise UserError(f"seeds = {seeds!r} is out of range: expected at least 1")
    if workers < 1:
        raise UserError(f"workers = {workers!r} is out of range: expected at least 1")
    setting = preset(name)
    if break_ is None:
        require_growth_window(setting)
    else:
        setting = broken(setting, break_)
    numbers, tally = range(first, first + seeds), Tally(work_of(seeds), told)
    kind = torch.float64 if float64 else torch.float32
    if elsewhere is not None:
        with torch_threads(1):
            return verdicts_elsewhere(elsewhere, setting, numbers, kind, tally)
    with torch_threads(max(1, torch.get_num_threads() // workers)), threads(workers) as pool:
        return all_checks(setting, numbers, JobsHere(pool, tally), kind)[1]


def verdicts_elsewhere(
    elsewhere: Elsewhere, setting: Setting, seeds: Sequence[int], dtype: torch.dtype, tally: Tally
) -> list[Verdict]:
    """`all_checks` elsewhere; a lost piece ends it, and does not count as a failed claim."""
    try:
        return all_checks(setting, seeds, JobsElsewhere(elsewhere, tally), dtype)[1]
    except LostPieceError as error:
        raise UserError(f"{error}; without it there are no verdicts") from None


def work_of(seeds: int) -> int:
    """The work that `all_checks` counts."""
    return sum(experiment.SIZES) * seeds + sum(checks_downstream.SIZES) * min(3, seeds) + sum(PARTS)


def all_checks(
    setting: Setting, seeds: Sequence[int], jobs: Jobs, dtype: torch.dtype = torch.float32
) -> tuple[Experiment | None, list[Verdict]]:
    """Compute the shared runs and every verdict by `jobs`, first what needs no run.

    If an identity fails, or the data do not match the definition, the system is not that of the theory: its runs may
    never end and would mean nothing, so none are made and a failing row says so.
    """
    parts: tuple[tuple[Callable[..., list[Verdict]], tuple[Any, ...]], ...] = (
        (learner_checks, (seeds[0],)),
        (objective_checks, (seeds[0],)),
        (exact_checks, (setting, dtype, seeds[0])),
        (_binding_checks, (setting, dtype, seeds[0])),
        (data_checks, (setting, seeds[0])),
    )
    begun = [jobs.begin(part, [given], size) for (part, given), size in zip(parts, PARTS, strict=True)]
    learners, objectives, exact, binding, data = (one()[0] for one in begun)
    if failed([*exact, *data]):
        stop = impossible("the runs follow the system of the theory", "an identity or the data failed: no runs made")
        return None, [*exact, *data, *binding, *objectives, *learners, stop]
    try:
        run = run_experiment(setting, seeds, jobs, dtype=dtype)
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, UserError) as error:
        stop = impossible("the runs can be followed to their end", f"{type(error).__name__}: {error}")
        return None, [*exact, *data, *binding, *objectives, *learners, stop]
    after = [*coverage_checks(run), *binding, *downstream_checks(run, jobs)]
    return run, [*exact, *data, *after, *objectives, *learners]


def _binding_checks(setting: Setting, dtype: torch.dtype, seed: int) -> list[Verdict]:
    return attempt("binding", lambda: [unbound_check(setting, dtype, seed), *binding_checks(setting, dtype)])

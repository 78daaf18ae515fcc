"""All verdicts of a setting."""

from collections.abc import Sequence

import torch

from unmask.errors import UserError
from unmask.theory.broken_assumptions import broken
from unmask.theory.checks_coverage import binding_checks, coverage_checks
from unmask.theory.checks_downstream import downstream_checks
from unmask.theory.checks_exact import exact_checks
from unmask.theory.experiment import Experiment, run_experiment
from unmask.theory.jobs import Tally, Told, silent, threads, torch_threads
from unmask.theory.presets import preset
from unmask.theory.setting import Setting, require_growth_window
from unmask.theory.verdict import Verdict


def verify(
    name: str,
    seeds: int,
    break_: str | None = None,
    workers: int = 1,
    float64: bool = False,
    told: Told = silent,
) -> list[Verdict]:
    """Verdicts of a preset over seeds 0..seeds-1, with one assumption switched off if `break_` names it.

    Workers share torch's threads: with as many workers as threads each seed has one thread, best where its matrices are
    small; with one worker (`paper`) each seed has all. The checks of gradients, decoupling and fixed points are in
    float64 always, the others if `float64`.
    """
    if seeds < 1:
        raise UserError(f"seeds = {seeds!r} is out of range: allowed is at least 1")
    if workers < 1:
        raise UserError(f"workers = {workers!r} is out of range: allowed is at least 1")
    setting = preset(name)
    if break_ is None:
        require_growth_window(setting)
    else:
        setting = broken(setting, break_)
    with torch_threads(max(1, torch.get_num_threads() // workers)):
        return all_checks(setting, range(seeds), workers, torch.float64 if float64 else torch.float32, told)[1]


def all_checks(
    setting: Setting,
    seeds: Sequence[int],
    workers: int = 1,
    dtype: torch.dtype = torch.float32,
    told: Told = silent,
) -> tuple[Experiment, list[Verdict]]:
    """The shared runs and every verdict. What needs no run is computed beside them, on a thread of its own."""
    tally = Tally(3 * len(seeds) + min(3, len(seeds)) + 2, told)
    with threads(1) as beside:
        exact = beside.submit(tally.counted(exact_checks), setting, dtype)
        binding = beside.submit(tally.counted(binding_checks), setting, dtype)
        run = run_experiment(setting, seeds, workers, dtype=dtype, tally=tally)
        coverage = [*coverage_checks(run), *binding.result()]
        return run, [*exact.result(), *coverage, *downstream_checks(run, workers, tally)]

"""All verdicts of a setting."""

import torch

from unmask.errors import UserError
from unmask.theory.breaks import broken
from unmask.theory.checks_coverage import coverage_checks
from unmask.theory.checks_downstream import downstream_checks
from unmask.theory.checks_exact import exact_checks
from unmask.theory.experiment import run_experiment
from unmask.theory.presets import preset
from unmask.theory.setting import require_growth_window
from unmask.theory.verdict import Verdict


def verify(name: str, seeds: int, break_: str | None = None, workers: int = 1, float64: bool = False) -> list[Verdict]:
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
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // workers))
    try:
        run = run_experiment(setting, range(seeds), workers, dtype=torch.float64 if float64 else torch.float32)
        return [*exact_checks(setting, run.worlds[0].dtype), *coverage_checks(run), *downstream_checks(run, workers)]
    finally:
        torch.set_num_threads(threads)

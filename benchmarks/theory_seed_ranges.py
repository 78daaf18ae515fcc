"""Claim: every law that depends on drawn data or starts holds for 20 other seed ranges, at its stated error.

Ranges of three seeds from 1000 on. Laws of capture on `paper-small`, of the data, and of unequal strengths, ensembles
and fused kernels (first seed of each range). Identities, and laws about systems without drawn data, have no seed.

Run: OMP_NUM_THREADS=1 python benchmarks/theory_seed_ranges.py [RANGES] > record.md
"""

import sys
import time

import torch

from unmask.theory.checks_coverage import (
    capture_tilt_check,
    capture_time_check,
    chance_check,
    coverage_at_first_capture,
    coverage_over_time,
    unbound_check,
)
from unmask.theory.checks_data import data_checks
from unmask.theory.checks_learners import ensemble_checks, fusing_checks, leaders_check, useless_checks
from unmask.theory.experiment import Experiment
from unmask.theory.laws import one_feature
from unmask.theory.occupancy import reading_time
from unmask.theory.presets import paper_small
from unmask.theory.problem import world
from unmask.theory.teacher_student_flow import pretrain
from unmask.theory.verdict import Verdict

SEEDS, FIRST = 3, 1000


def laws_of(first: int) -> list[Verdict]:
    """Verdicts of kind identity and law of one range; first captures only, so no encoder is trained."""
    setting = paper_small()
    worlds = [world(setting, seed) for seed in range(first, first + SEEDS)]
    laws = [one_feature(w.unlabeled(), w.v, setting) for w in worlds]
    full = reading_time(laws, setting)
    captures = pretrain(worlds, torch.tensor([1e6 * full]), through_capture=False)
    run = Experiment(setting, worlds, laws, full, captures, captures, None, None)  # type: ignore[arg-type]
    checks = (capture_time_check, capture_tilt_check, chance_check, coverage_over_time, coverage_at_first_capture)
    found = [*(check(run) for check in checks), *data_checks(setting, first), unbound_check(setting)]
    found += [leaders_check(first), *useless_checks(first), *ensemble_checks(first), *fusing_checks(first)]
    return [v for v in found if v.kind in ("identity", "law")]


def main(ranges: int) -> int:
    """Print how often each law holds and its largest use of the allowed error; 1 if one fails somewhere."""
    torch.set_num_threads(1)
    begin = time.monotonic()
    every = [laws_of(FIRST + 10 * i) for i in range(ranges)]
    print(
        f"{time.strftime('%Y-%m-%d')}, torch {torch.__version__}, {ranges} ranges of {SEEDS} seeds from {FIRST} on.\n"
    )
    print("| law | holds | smallest | largest | accepted |\n|---|---|---|---|---|")
    bad = 0
    for column in zip(*every, strict=True):
        values, one = [v.measured for v in column], column[0]
        held = sum(v.holds for v in column)
        bad += held < ranges
        accepted = f"{one.low:.3g} to {one.high:.3g}"
        print(f"| {one.claim} | {held} of {ranges} | {min(values):.4g} | {max(values):.4g} | {accepted} |")
    print(
        f"\nlaws that hold in every range: {len(every[0]) - bad} of {len(every[0])}, {time.monotonic() - begin:.0f} s"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))

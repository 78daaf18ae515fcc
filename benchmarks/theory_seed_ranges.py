"""Claim: every identity and law that depends on a draw holds for 20 other seed ranges, at its stated error.

Ranges of three seeds from 1000 on. Laws of capture on `paper-small`; gradients, masks, minibatches, the data, unequal
strengths, ensembles and fused kernels on the first seed of each range. The other identities and laws draw nothing.

Run: OMP_NUM_THREADS=1 python benchmarks/theory_seed_ranges.py STORE [RANGES] > record.md
Finished ranges are kept in STORE, a JSON file, and are not repeated.
"""

import json
import sys
import time
from pathlib import Path

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
from unmask.theory.checks_exact import (
    decoupling_check,
    gradient_check,
    mask_integral_check,
    pixel_gradient_check,
    supervised_gradient_check,
)
from unmask.theory.checks_learners import ensemble_checks, fusing_checks, leaders_check, useless_checks
from unmask.theory.checks_objectives import block_integral_check, contrastive_integral_check, minibatch_check
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
    found = [*(check(run) for check in checks), *data_checks(setting, first), unbound_check(setting, seed=first)]
    found += [gradient_check(setting, first), supervised_gradient_check(setting, first), pixel_gradient_check(first)]
    found += [mask_integral_check(setting, first), decoupling_check(setting, first), minibatch_check(first)]
    found += [block_integral_check(first), contrastive_integral_check(first)]
    found += [leaders_check(first), *useless_checks(first), *ensemble_checks(first), *fusing_checks(first)]
    return [v for v in found if v.kind in ("identity", "law")]


def kept(store: Path, ranges: int) -> list[list[Verdict]]:
    """Verdicts of every range, computed and stored if they are missing."""
    known = json.loads(store.read_text()) if store.exists() else {}
    for i in range(ranges):
        if str(i) not in known:
            begin = time.process_time()
            known[str(i)] = [v.__dict__ for v in laws_of(FIRST + 10 * i)]
            store.write_text(json.dumps(known))
            print(f"range {i}: {time.process_time() - begin:.0f} s of CPU time", file=sys.stderr, flush=True)
    return [[Verdict(**row) for row in known[str(i)]] for i in range(ranges)]


def main(store: Path, ranges: int) -> int:
    """Print how often each law holds and its largest use of the allowed error; 1 if one fails somewhere."""
    torch.set_num_threads(1)
    every = kept(store, ranges)
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
    print(f"\nidentities and laws that hold in every range: {len(every[0]) - bad} of {len(every[0])}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 20))

"""Claim: the checks can fail. Which verdicts change when one assumption is switched off, against the same without.

One seed of `paper-small`; a table row a break: verdicts that hold without it and fail with it, that fail without it and
hold with it, and those that are not claimed any more. About a minute a break on one core.

Run: OMP_NUM_THREADS=1 python benchmarks/theory_breaks.py > table.md
"""

import platform
import re
import sys
import time
from dataclasses import replace

import torch

from unmask.theory.broken_assumptions import BREAKS, broken
from unmask.theory.presets import preset
from unmask.theory.verdict import Verdict
from unmask.theory.verify import all_checks, verify

PRESET, SEEDS = "paper-small", 1


def name(verdict: Verdict) -> str:
    """The claim without what stands in parentheses at its end, and its kind where the exit code depends on it."""
    strict = f" [**{verdict.kind}**]" if verdict.kind in ("identity", "law") else ""
    return re.sub(r" \([^()]*\)$", "", verdict.claim) + strict


def row(verdicts: list[Verdict], plain: list[Verdict]) -> list[str]:
    """Three cells: fails, holds, not in its regime, each where it is not so without the break."""
    cells = []
    for wanted in ("fails", "holds", "not in its regime"):
        changed = [
            f"{name(one)}: {one.measured:.3g}, predicted {one.predicted:.3g}"
            if wanted != "not in its regime"
            else name(one)
            for one in verdicts
            for before in plain
            if one.claim == before.claim and one.outcome == wanted != before.outcome
        ]
        cells.append("; ".join(changed) or "none")
    return cells


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    plain = verify(PRESET, SEEDS)
    print(f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, torch {torch.__version__}, float32, seed 0 (n = 1).\n")
    print(f"Without a break these fail: {'; '.join(name(v) for v in plain if v.outcome == 'fails')}.\n")
    print("| break | fails with it only | holds with it only | not in its regime |\n|---|---|---|---|")
    for one in BREAKS:
        start = time.monotonic()
        print(f"| {one} | " + " | ".join(row(verify(PRESET, SEEDS, break_=one), plain)) + " |", flush=True)
        print(f"{one}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    closer_looks()


def closer_looks() -> None:
    """Two laws beside the table: occupancy from a large start over three seeds, the moment formula without noise."""
    found = verify(PRESET, 3, break_="large_start")
    setting = preset(PRESET)
    without = broken(replace(setting, data=replace(setting.data, noise=0.0, feature_noise=0.0)), "quadratic")
    quiet = all_checks(without, range(SEEDS))[1]
    print("\n| closer look | claim | measured | predicted | outcome |\n|---|---|---|---|---|")
    for look, verdicts, words in (
        ("large_start, n = 3", found, "the occupancy law (largest"),
        ("quadratic, no noise, n = 1", quiet, "moment formula"),
    ):
        for one in verdicts:
            if words in one.claim:
                print(f"| {look} | {one.claim} | {one.measured:.3g} | {one.predicted:.3g} | {one.outcome} |")


if __name__ == "__main__":
    main()

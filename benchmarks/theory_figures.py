"""Figures of docs/theory.md that are no verdict: costs, a start that was not taken, and the step error of SL.

Run: OMP_NUM_THREADS=1 python benchmarks/theory_figures.py [--seeds 4] [--n 5] > record.md
CPU seconds of this process on one thread. Seeds are 0, 1, ...; the tables of costs and of LSODA have one seed.
"""

import argparse
import statistics
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from cpu_time import interleaved
from scipy.integrate import solve_ivp

from unmask.theory.capture import captured
from unmask.theory.checks_learners import LAB
from unmask.theory.distribution import Distribution
from unmask.theory.laws import one_feature
from unmask.theory.occupancy import reading_time, time_of_full_coverage
from unmask.theory.presets import paper_small
from unmask.theory.problem import world
from unmask.theory.setting import Setting
from unmask.theory.supervision import block_head, error, fine_tune, supervised_force, train_from_scratch
from unmask.theory.teacher_student_flow import pretrain

SMALL = Setting(
    data=Distribution(classes=3, dim=7, patches=6, others=1.0, noise=0.02), kernels_per_class=2, samples=40, labeled=30
)
"""The setting in which tests compare training from scratch with LSODA."""


def cost_table(n: int) -> None:
    """CPU seconds of pretraining with fine-tuning, and of one network from scratch."""
    w = world(LAB, 0)

    def pretrained() -> None:
        when = reading_time([one_feature(w.unlabeled(), w.v, LAB)], LAB)
        fine_tune([w], pretrain([w], torch.tensor([when], dtype=torch.float64)).weights[-1])

    print(f"## Cost: k = 6, m = 16, seed 0 (medians of n = {n}, lowest to highest; CPU seconds)\n")
    print("| what | CPU s |\n|---|---|")
    ways: dict[str, Callable[[], object]] = {
        "pretraining and fine-tuning": pretrained,
        "one network from scratch": lambda: train_from_scratch([w]),
    }
    spent = interleaved(ways, n)
    for name, seconds in spent.items():
        print(f"| {name} | {statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f}) |")
    first, second = (statistics.median(one) for one in spent.values())
    print(f"\nRatio of the medians: {first / second:.2f}.\n")


def small_start_table(seeds: int, kernels: int = 5, later: float = 1e4) -> None:
    """Features that the first captured kernels hold a while later, from a start as small as that of SL."""
    base = paper_small()
    s = replace(base, init_scale=0.02 * base.threshold, data=replace(base.data, noise=0.05))
    print("## `paper-small` with σ0/ϱ = 0.02 and σ_p = 0.05\n")
    print(f"| seed | T of full coverage, by the law | first capture | features held {later:g} after their capture |")
    print("|---|---|---|---|")
    for seed in range(seeds):
        w = world(s, seed)
        full = time_of_full_coverage([one_feature(w.unlabeled(), w.v, s)], s.init_scale, s.kernels)
        first = pretrain([w], torch.tensor([1e12]), through_capture=False).capture_time[0].sort()
        times = first.values[:kernels] + later
        held = captured(pretrain([w], times).correlation[:, 0], s).sum(-1)
        counts = ", ".join(str(int(held[i, kernel])) for i, kernel in enumerate(first.indices[:kernels]))
        print(f"| {seed} | {full:.2g} | {float(first.values[0]):.2g} | {counts} of {s.data.features} |")
    print()


def step_error_table(seeds: int) -> None:
    """Error of SL on single-view data, and evaluations, over the step error."""
    s = paper_small()
    print("## Training from scratch over its step error, `paper-small`\n")
    print("| step error | evaluations per seed | error on single-view data, seeds 0, 1, ... |\n|---|---|---|")
    for rtol in (5e-3, 5e-4, 2e-4):
        wrong, evaluations = [], 0
        for seed in range(seeds):
            w = world(s, seed)
            done = train_from_scratch([w], rtol=rtol)
            wrong.append(error(done.weights[0], done.head[0], w.test(True), s))
            evaluations += done.evaluations
        print(f"| {rtol:g} | {evaluations / seeds:.0f} | {', '.join(f'{one:.3f}' for one in wrong)} |", flush=True)
    print()


def lsoda_table() -> None:
    """Largest difference of a weight from LSODA in training from scratch: at all accepted steps, and at the end."""
    w = world(SMALL, 1, torch.float64)
    data, head, shape = w.labeled(), block_head(3, 2, torch.float64), w.start.shape

    def field(_: float, y: np.ndarray) -> np.ndarray:
        return supervised_force(torch.from_numpy(y).view(shape), head, data, 4, 0.5)[0].numpy().ravel()

    print("## Training from scratch beside LSODA: 3 classes, 6 kernels, seed 1, float64\n")
    print("| step error | steps | largest difference of a weight, all steps | at the end | largest weight |")
    print("|---|---|---|---|---|")
    for rtol in (5e-3, 5e-4, 1e-4):
        times: list[float] = []
        states: list[np.ndarray] = []

        def keep(_: object, t: torch.Tensor, y: torch.Tensor, times: list = times, states: list = states) -> None:
            times.append(float(t))
            states.append(y[0, : shape.numel()].numpy().copy())

        train_from_scratch([w], rtol=rtol, observe=keep)
        start = w.scratch_start.numpy().ravel()
        exact = solve_ivp(field, (0, times[-1]), start, method="LSODA", t_eval=times, rtol=1e-8, atol=1e-10).y.T
        off = np.abs(np.array(states) - exact)
        print(
            f"| {rtol:g} | {len(times)} | {off.max():.3f} | {off[-1].max():.4f} | {np.abs(exact).max():.2f} |",
            flush=True,
        )
    print()


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--n", type=int, default=5, help="repetitions of the costs")
    options = parser.parse_args()
    print(f"torch {torch.__version__}\n")
    cost_table(options.n)
    small_start_table(options.seeds)
    step_error_table(options.seeds)
    lsoda_table()


if __name__ == "__main__":
    main()

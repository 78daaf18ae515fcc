"""Speed of the theory engine. Claims: ≥ 5x an autograd step, ≥ 1000x fewer steps to capture; share of the GEMM rate,
and how time grows with k, N and seeds.

Baseline: the loss written literally, automatic differentiation, fixed steps. Run:
    OMP_NUM_THREADS=1 python benchmarks/theory_engine.py > benchmarks/results/theory_engine.md
CPU seconds of one thread; medians of n repetitions, interleaved in one process.
"""

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from cpu_time import interleaved

from unmask.theory import paper_small, pretrain, world
from unmask.theory.capture import capture_level
from unmask.theory.distribution import Distribution
from unmask.theory.laws import one_feature
from unmask.theory.occupancy import time_of_full_coverage
from unmask.theory.setting import Setting
from unmask.theory.teacher_student_loss import Objective, force


def baseline_loss(w: torch.Tensor, x: torch.Tensor, obj: Objective) -> torch.Tensor:
    """The objective with the case distinction of σ written out."""

    def sigma(z: torch.Tensor) -> torch.Tensor:
        power = z.clamp_min(0) ** obj.power / (obj.power * obj.threshold ** (obj.power - 1))
        return torch.where(z > obj.threshold, z - (1 - 1 / obj.power) * obj.threshold, power)

    a = torch.einsum("npd,kd->npk", x, w)
    s = sigma(a)
    with torch.no_grad():
        teacher = sigma(obj.teacher_scale * a).sum(1)
    square = (teacher - obj.gain * s.sum(1)).square() + obj.gain**2 * obj.mask_excess * s.square().sum(1)
    return 0.5 * square.mean(0).sum()


def baseline_step(w: torch.Tensor, x: torch.Tensor, obj: Objective) -> torch.Tensor:
    """-gradient by autograd."""
    w = w.clone().requires_grad_()
    return -torch.autograd.grad(baseline_loss(w, x, obj), w)[0]


def cpu(functions: dict[str, Callable[[], object]], n: int) -> dict[str, float]:
    """Median CPU seconds of each function, interleaved."""
    return {name: statistics.median(times) for name, times in interleaved(functions, n).items()}


def step_table(n: int) -> None:
    """Time of a step, growing and captured, against the baseline and the matrix products alone."""
    print(f"## One force evaluation, float32 (n = {n})\n")
    print("| k | d | N·P | K | weights | autograd ms | engine ms | ratio | GEMM alone ms | GEMM share | rel. diff |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    base = paper_small()
    wide = replace(
        base, data=Distribution(classes=50, dim=104, patches=8, others=2.0), kernels_per_class=16, samples=500
    )
    for s in (base, replace(base, samples=1000), replace(base, kernels_per_class=32), wide):
        w = world(s, 0)
        x, obj = w.unlabeled().x, Objective.of(s)
        flat = x.flatten(0, 1)
        for name, weights in (("growing", w.start), ("captured", w.start * (0.5 * s.threshold / s.init_scale))):
            pull = torch.empty(flat.shape[0], s.kernels)
            t = cpu(
                {
                    "base": lambda v=weights, x=x, o=obj: baseline_step(v, x, o),
                    "engine": lambda v=weights, x=x, o=obj: force(v, x, o),
                    "gemm": lambda v=weights, f=flat, g=pull: torch.mm(f, v.T, out=g).T @ f,
                },
                n,
            )
            expected = baseline_step(weights, x, obj)
            off = float((force(weights, x, obj) - expected).norm() / expected.norm())
            print(
                f"| {s.data.classes} | {s.data.dim} | {flat.shape[0]} | {s.kernels} | {name} | {1e3 * t['base']:.1f} | "
                f"{1e3 * t['engine']:.1f} | {t['base'] / t['engine']:.1f} | {1e3 * t['gemm']:.1f} | "
                f"{t['gemm'] / t['engine']:.0%} | {off:.1e} |"
            )


def fixed_steps(s: Setting, step: float, limit: int = 100000) -> int:
    """Steps of fixed-step descent until the first kernel of four is captured."""
    w = world(s, 0)
    w = replace(w, start=w.start[:4])
    x, obj, level = w.unlabeled().x, Objective.of(s), capture_level(s)
    weights = w.start.clone()
    for i in range(1, limit + 1):
        weights.add_(force(weights, x, obj), alpha=step)
        if float((weights @ w.v.T).max()) >= level:
            return i
    return limit


def capture_table(step: float = 8.0) -> None:
    """Steps to first capture at σ0/ϱ, fixed and adaptive, and the extrapolation to 0.04."""
    print(f"\n## Steps to the first capture of 4 kernels (step {step}: the captured state is stable up to about 12)\n")
    print("| σ0/ϱ | fixed steps | exact-time steps (6 evaluations each) |\n|---|---|---|")
    logs = []
    for ratio in (0.1, 0.085, 0.07, 0.06, 0.04):
        s = replace(paper_small(), init_scale=ratio * 0.5)
        w = world(s, 0)
        done = pretrain([replace(w, start=w.start[:4])], torch.tensor([1e9]), through_capture=False)
        if ratio > 0.05:
            steps = fixed_steps(s, step)
            logs.append((torch.tensor(ratio).log(), torch.tensor(float(steps)).log()))
            print(f"| {ratio} | {steps} | {done.steps[0]} |")
        else:
            x, y = (torch.stack(column) for column in zip(*logs, strict=True))
            slope = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
            fit = float((y.mean() + slope * (torch.tensor(ratio).log() - x.mean())).exp())
            print(f"| {ratio} | {fit:.3g} (extrapolated) | {done.steps[0]} |")
            print(f"\nFit: steps ~ (σ0/ϱ)^{float(slope):.2f}; theory 2 - 2q = -6.", end=" ")
            print(f"Ratio at 0.04: {fit / done.steps[0]:.3g} in steps, {fit / done.steps[0] / 6:.3g} in evaluations.")


def growth_table() -> None:
    """CPU seconds of a whole pretraining to full coverage, one of k, N and the number of seeds doubled at a time."""
    print("\n## Growth of a whole pretraining (m = 16, to the T of 99.9 % predicted coverage, n = 1)\n")
    print("| k | N | seeds | K | T | CPU s | steps while growing, after |\n|---|---|---|---|---|---|---|")
    for k, n, seeds in (
        (10, 500, 1),
        (20, 500, 1),
        (40, 500, 1),
        (10, 1000, 1),
        (10, 2000, 1),
        (10, 500, 2),
        (10, 500, 4),
    ):
        data = replace(paper_small().data, classes=k, dim=2 * k + 4)
        s = replace(paper_small(), data=data, samples=n)
        worlds = [world(s, seed) for seed in range(seeds)]
        laws = [one_feature(w.unlabeled(), w.v, s) for w in worlds]
        when = time_of_full_coverage(laws, s.init_scale, s.kernels)
        start = time.process_time()
        done = pretrain(worlds, torch.tensor([when]))
        spent = time.process_time() - start
        print(f"| {k} | {n} | {seeds} | {s.kernels} | {when:.3g} | {spent:.1f} | {done.steps[0]}, {done.steps[1]} |")


def main() -> None:
    """Print the page."""
    torch.set_num_threads(1)
    print("# Theory engine\n")
    print(f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, torch {torch.__version__}, one thread, CPU seconds.")
    print("Command: `OMP_NUM_THREADS=1 python benchmarks/theory_engine.py`.\n")
    step_table(15)
    capture_table()
    growth_table()


if __name__ == "__main__":
    main()

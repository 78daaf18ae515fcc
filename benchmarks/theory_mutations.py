"""Claim: no mistake in the laboratory goes unnoticed. Each mutation of the source makes at least one verdict fail.

A mutation is a change of text in a copy of the package. Verdicts are computed in stages, the cheap ones first, until
one fails. Exits 1 if a mutation passes all of them, or ends in a traceback or without an answer. About a quarter of an
hour.

Run: OMP_NUM_THREADS=1 python benchmarks/theory_mutations.py [NAME ...] > table.md
"""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unmask.theory.setting import Setting
    from unmask.theory.verdict import Verdict

SOURCE = Path(__file__).parent.parent / "src"
SEEDS = 3
LIMIT = 300
"""CPU seconds of one mutation."""


@dataclass(frozen=True)
class Mutation:
    """Text changes, each (file in theory/, old, new); old occurs once in the file."""

    name: str
    what: str
    changes: tuple[tuple[str, str, str], ...]


def _one(name: str, what: str, file: str, old: str, new: str) -> Mutation:
    return Mutation(name, what, ((file, old, new),))


LOSS, NETWORK, SAMPLING, PROBLEM = "teacher_student_loss.py", "network.py", "sampling.py", "problem.py"
MUTATIONS = (
    _one("power", "q + 1 in σ", NETWORK, "power = m.square().square() if q == 4 else m**q", "power = m ** (q + 1)"),
    _one("gain", "B without C_p", "setting.py", "self.mask_excess / self.data.patches_per_feature", "self.mask_excess"),
    _one("split", "strengths not divided over patches", SAMPLING, "return weights / weights.sum(-1, keepdim=True)",
         "return weights"),
    _one("theta", "θ and 1 - θ swapped", "setting.py", "return self.mask_ratio / (1.0 - self.mask_ratio)",
         "return (1.0 - self.mask_ratio) / max(self.mask_ratio, 1e-9)"),
    Mutation("mask_sign", "sign of the mask's term", (
        (LOSS, "(mean + obj.gain**2", "(mean - obj.gain**2"),
        (LOSS, "m, -b * obj.mask_excess / q, s", "m, b * obj.mask_excess / q, s"),
        (LOSS, "phi, -b * obj.mask_excess, s", "phi, b * obj.mask_excess, s"))),
    _one("silence", "no noise", SAMPLING, "x += dist.noise * torch.randn", "x += 0.0 * torch.randn"),
    Mutation("sigma", "σ without 1/q", (
        (NETWORK, "threshold * (power / q +", "threshold * (power +"),
        (NETWORK, ".clamp(0, 1) ** (q - 1)", ".clamp(0, 1) ** (q - 1) * q"),
        (NETWORK, "value=1.0 / q", "value=1.0"))),
    Mutation("teacher", "τ σ(z) for σ(τ z)", (
        (LOSS, "target = activation(obj.teacher_scale * (x @ teacher.T), obj.power, obj.threshold).sum(1)",
         "target = obj.teacher_scale * activation(x @ teacher.T, obj.power, obj.threshold).sum(1)"),
        (LOSS, "activation(obj.teacher_scale * a, obj.power", "obj.teacher_scale * activation(a, obj.power"),
        (LOSS, "(tau**q - b) / q", "(tau - b) / q"),
        (LOSS, "_sums(teacher, p).mul_(tau).sub_(_sums(phi, p), alpha=b)", "_sums(phi, p).mul_(tau - b)"))),
    _one("one_view", "single-view samples always show view 0", SAMPLING,
         "torch.where(single, torch.randint(", "torch.where(single, 0 * torch.randint("),
    _one("no_others", "no other classes", SAMPLING, "draw < dist.others / dist.classes", "draw < 0.0"),
    _one("many_labels", "200 labels per class instead of 5", PROBLEM, "<= s.labels_per_class)",
         "<= 40 * s.labels_per_class)"),
    _one("frozen", "frozen encoder in fine-tuning", "supervision.py", "torch.cat([fw.flatten(),",
         "torch.cat([fw.flatten() * (not train_head),"),
    _one("level", "capture level halved", "capture.py", "return 0.5 * setting.threshold",
         "return 0.25 * setting.threshold"),
    _one("chance", "p(T) twice too large", "laws.py", "[0.5 * erfc(", "[erfc("),
    _one("slow", "one-feature time times 1.3", "laws.py", "torch.inf, mean * step)", "torch.inf, 1.3 * mean * step)"),
    _one("slower", "one-feature time times 1.5", "laws.py", "torch.inf, mean * step)", "torch.inf, 1.5 * mean * step)"),
    _one("tilt", "exponent 2q - 3 instead of 2q - 2", "laws.py", "torch.inf, mean * step)",
         "torch.inf, mean * step * grid[:-1] / grid[-1])"),
    _one("mixed", "pretraining data with μ = 0.2", PROBLEM, 'self.setting.samples, self.setting.data.single_share',
         "self.setting.samples, 0.2"),
    # ours
    _one("mask_gain", "mask's term without b in the force", LOSS, "m, -b * obj.mask_excess / q, s",
         "m, -obj.mask_excess / q, s"),
    _one("unscaled", "drawn masks without 1/θ", LOSS, "student = obj.gain / obj.keep * visible",
         "student = obj.gain * visible"),
    _one("shuffled", "labels of fine-tuning moved by one sample", PROBLEM, "return pool.subset(chosen)",
         "return replace(pool.subset(chosen), labels=pool.subset(chosen).labels.roll(1))"),
    _one("untrained", "fine-tuning from the start instead of the encoder", "experiment.py",
         "fine_tune([w], through.weights[-1])", "fine_tune([w], w.start[None])"),
    _one("start", "SL starts as large as MRP", PROBLEM,
         "self.start * (self.setting.scratch_init_scale / self.setting.init_scale)", "self.start"),
    _one("early", "training stops at ten times the loss", "supervision.py", "mean < setting.stop_loss",
         "mean < 10 * setting.stop_loss"),
    _one("loser", "winner is the smallest correlation", "capture.py", "return start.argmax(-1)",
         "return start.argmin(-1)"),
    _one("critical", "τ^(q-1) in the critical mask ratio", "laws.py", "support * (tau**q / gain - 1)",
         "support * (tau ** (q - 1) / gain - 1)"),
    _one("offset", "c without 1/q", "laws.py", "c = (1 - 1 / q) * threshold", "c = threshold"),
    _one("pixel", "sign in the pixel form", "pixel_form.py", "* y - keep * missing", "* y + keep * missing"),
    _one("hasty", "encoders read at a hundredth of T", "experiment.py", "pretrain([w], times)",
         "pretrain([w], times / 100)"),
    _one("oblique", "features not orthonormal", SAMPLING, "return (q * torch.sign(torch.diagonal(r))).T.contiguous()",
         "return gaussian / gaussian.norm(dim=1, keepdim=True)"),
    _one("clean", "no feature noise", SAMPLING, "if dist.feature_noise:", "if False:"),
    _one("blocks", "blocks of masks drawn apart", "block_masks.py", "inside.square().sum(1)", "s.square().sum(1)"),
    _one("pairs", "complementary pairs show the same patch", "contrastive.py", "(s if apart else 0.0)", "0.0"),
    _one("ensemble", "members of an ensemble share one start", "ensembles.py",
         'generator(w.seed, "ensemble", number)', 'generator(w.seed, "ensemble")'),
    _one("strengths", "a strength enters a rate without its power", "unequal_strengths.py",
         "dist.fade ** (2 * q *", "dist.fade ** (2 *"),
    _one("bound", "binding without b", "binding.py", "together * gain**2 * excess", "together * gain * excess"),
)  # fmt: skip


def mutated(mutation: Mutation, folder: Path) -> Path:
    """Copy the package with the changes; return its parent folder, for PYTHONPATH."""
    shutil.copytree(SOURCE / "unmask", folder / "unmask", ignore=shutil.ignore_patterns("__pycache__"))
    for file, old, new in mutation.changes:
        path = folder / "unmask" / "theory" / file
        text = path.read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise SystemExit(f"{mutation.name}: {old!r} stands {text.count(old)} times in {file}")
        path.write_text(text.replace(old, new), encoding="utf-8")
    return folder


def _first_captures(setting: "Setting") -> "Sequence[Verdict]":
    """Checks of first captures, of worlds that need no training beyond them."""
    import torch

    from unmask.theory.checks_coverage import (
        capture_tilt_check,
        capture_time_check,
        chance_check,
        coverage_over_time,
        leaders,
        leaders_by_law,
    )
    from unmask.theory.experiment import Experiment
    from unmask.theory.laws import one_feature
    from unmask.theory.occupancy import reading_time
    from unmask.theory.problem import world
    from unmask.theory.teacher_student_flow import pretrain

    worlds = [world(setting, seed) for seed in range(SEEDS)]
    laws = [one_feature(w.unlabeled(), w.v, setting) for w in worlds]
    full = reading_time(laws, setting)
    first = pretrain(worlds, torch.tensor([1e6 * full]), through_capture=False)
    run = Experiment(setting, worlds, laws, full, first, first, None, None)  # type: ignore[arg-type]
    checks = (capture_time_check, capture_tilt_check, chance_check, coverage_over_time, leaders, leaders_by_law)
    return [check(run) for check in checks]


def _runs(setting: "Setting") -> "Sequence[Verdict]":
    """Checks of whole experiments."""
    from unmask.theory.checks_coverage import coverage_checks
    from unmask.theory.checks_downstream import downstream_checks
    from unmask.theory.experiment import run_experiment

    run = run_experiment(setting, range(SEEDS))
    return [*coverage_checks(run), *downstream_checks(run)]


def verdicts_in_stages() -> None:
    """In the copy: verdicts stage by stage; prints those that do not hold of the first stage in which some do not."""
    import torch

    from unmask.theory.checks_binding import binding_checks
    from unmask.theory.checks_coverage import unbound_check
    from unmask.theory.checks_data import data_checks
    from unmask.theory.checks_exact import exact_checks
    from unmask.theory.checks_learners import learner_checks
    from unmask.theory.checks_objectives import objective_checks
    from unmask.theory.presets import paper_small
    from unmask.theory.verdict import attempt

    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT + 5))
    torch.set_num_threads(1)
    setting = paper_small()
    stages: tuple[Callable[[], Sequence[Verdict]], ...] = (
        lambda: exact_checks(setting),
        lambda: data_checks(setting),
        objective_checks,
        lambda: attempt("binding", lambda: [unbound_check(setting), *binding_checks(setting)]),
        lambda: attempt("first captures", lambda: _first_captures(setting)),
        learner_checks,
        lambda: attempt("the runs", lambda: _runs(setting)),
    )
    for stage in stages:
        failing = [f"{v.claim} ({v.measured:.3g})" for v in stage() if v.outcome in ("fails", "empty")]
        if failing:
            break
    print(json.dumps(failing))


def examine(mutation: Mutation) -> tuple[list[str], str]:
    """The claims that notice a mutation, and how the run ended if it gave no answer."""
    with tempfile.TemporaryDirectory() as folder:
        path = {**os.environ, "PYTHONPATH": str(mutated(mutation, Path(folder))), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, __file__, "--stages"]
        done = subprocess.run(command, env=path, capture_output=True, text=True, check=False)
    if done.returncode == -signal.SIGXCPU:
        return [], f"no answer in {LIMIT} s of CPU time"
    if done.returncode:
        return [], (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found, ""


def main(names: Sequence[str]) -> int:
    """Print the table; return 1 if a mutation goes unnoticed or does not end in verdicts."""
    chosen = [
        one for one in (Mutation("none", "the source as it is", ()), *MUTATIONS) if not names or one.name in names
    ]
    print("| mutation | what | noticed by |\n|---|---|---|")
    bad, begin = [], time.monotonic()
    for one in chosen:
        claims, end = examine(one)
        noticed = "; ".join(claims) or end or "**nothing**"
        print(f"| {one.name} | {one.what} | {noticed} |", flush=True)
        if bool(claims) == (one.name == "none") or end:
            bad.append(one.name)
    print(
        f"\nmutations: {len(chosen) - len(bad)} of {len(chosen)} sources judged rightly ({SEEDS} seeds), "
        f"{time.monotonic() - begin:.0f} s; wrong: {', '.join(bad) or 'none'}"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--stages"]:
        verdicts_in_stages()
    else:
        sys.exit(main(sys.argv[1:]))

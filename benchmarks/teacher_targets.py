"""Which target is better with few labels: the pixels, or the features of an EMA teacher? For one CNN and one ViT.

Fashion-MNIST at 32 pixels. For each encoder, three pretrainings with each target (normalized pixels; an EMA teacher's
features), everything else equal; then `compare` at 10 labels per class over three label draws: fine-tuned, and from
scratch with the same and with the best of several schedules. The draws are the same for all, so differences are
paired over draws, each draw the mean over the pretrainings. Nothing here was tuned: the recipe is `small-cnn` with a
shorter pretraining, and the ViT's own settings are written below. An interrupted run resumes.

Run: python benchmarks/teacher_targets.py --encoder cnn --out runs/teacher_cnn [--jobs 2]
     python benchmarks/teacher_targets.py --encoder vit --out runs/teacher_vit
"""

import argparse
import json
import platform
from dataclasses import replace
from pathlib import Path

import torch

import unmask
from unmask.config import ClassifyRecipe, EncoderConfig
from unmask.config.names import change
from unmask.inference.estimate import paired_interval
from unmask.recipes import Recipe
from unmask.runs.layout import TRIALS
from unmask.runs.metrics import ValidationRow, read_metrics, rows_of
from unmask.runs.read import read_record
from unmask.runs.trial_records import TrialResult

BUDGET, TARGETS, SEEDS = 10, ("normalized_pixels", "ema_teacher"), (0, 1, 2)
VIT = {"patch_size": 8, "embed_dim": 96, "depth": 6, "num_heads": 3}


def recipe(encoder: str, steps: int) -> Recipe:
    """`small-cnn`, or the same for a ViT of 690 thousand parameters: transformer decoder, a third of the rate."""
    base = unmask.recipe("small-cnn", data="fashion-mnist")
    base = replace(base, pretrain=change(base.pretrain, {"steps": steps}))
    if encoder == "cnn":
        return base

    def slower(one: ClassifyRecipe) -> ClassifyRecipe:
        return change(one, {"lr": one.optimizer.lr / 3})

    return replace(
        base,
        encoder=EncoderConfig(encoder="vit_tiny_patch16_224", encoder_options=dict(VIT)),
        pretrain=change(base.pretrain, {"cell": VIT["patch_size"], "decoder": "transformer", "lr": 1e-3}),
        finetune=slower(base.finetune),
        scratch_candidates=tuple(slower(one) for one in base.scratch_candidates),
    )


def pretrained(one: Recipe, target: str, seed: int, out: Path) -> Path:
    """The run of one pretraining."""
    config = one.pretrain_config(target=target, seed=seed)
    return unmask.pretrain(config, out, resume=out.exists(), progress=False).folder


def compared(one: Recipe, runs: list[Path], arms: tuple[str, ...], out: Path, jobs: int) -> Path:
    """The comparison of these pretrainings with scratch."""
    config = one.compare_config(budgets=(BUDGET,), draws=len(SEEDS), arms=arms, pretrained=tuple(runs), jobs=jobs)
    return unmask.compare(config, out, resume=out.exists(), progress=False).folder


def by_draw(out: Path, arm: str) -> list[float]:
    """Test accuracy of each label draw in percent, the mean over pretrainings."""
    trials = [read_record(TrialResult, file) for file in TRIALS.found(out)]
    rows: dict[int, list[float]] = {}
    for trial in trials:
        if trial.arm == arm:
            rows.setdefault(trial.draw, []).append(100 * trial.metrics["test"].accuracy)
    return [sum(rows[draw]) / len(rows[draw]) for draw in sorted(rows)]


def health(run: Path) -> dict[str, float]:
    """The last validation loss, the loss of the flat prediction, effective rank and deviation of the features."""
    last = rows_of(ValidationRow, read_metrics(run))[-1]
    return {name: value for name, value in vars(last).items() if isinstance(value, float)}


def main() -> None:
    """Run what is missing and print all figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", choices=("cnn", "vit"), required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=600, help="pretraining steps of 128 images, 1.5 epochs")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1)
    one = recipe(args.encoder, args.steps)
    found: dict[str, object] = {"encoder": args.encoder, "machine": platform.machine(), "steps": args.steps}
    curves: dict[str, list[float]] = {}
    for target in TARGETS:
        runs = [pretrained(one, target, seed, args.out / f"{target}_{seed}") for seed in SEEDS]
        found[f"pretraining, {target}"] = [health(run) for run in runs]
        # The scratch arms do not depend on the target: they are trained beside the first one only.
        arms = ("mrp", "scratch_same", "scratch_best") if target == TARGETS[0] else ("mrp", "scratch_same")
        out = compared(one, runs, arms, args.out / f"compare_{target}", args.jobs)
        curves |= {target if arm == "mrp" else arm: by_draw(out, arm) for arm in arms}
    found["accuracy a draw"] = {name: [round(v, 2) for v in values] for name, values in curves.items()}
    for first, second in (TARGETS[::-1], *((t, s) for t in TARGETS for s in ("scratch_same", "scratch_best"))):
        differences = [a - b for a, b in zip(curves[first], curves[second], strict=True)]
        found[f"{first} - {second}"] = str(paired_interval(differences, 0.95))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

"""Which target is better with few labels: the pixels, or the features of an EMA teacher? For one CNN and one ViT.

Fashion-MNIST at 32 pixels. For each encoder, five pretrainings with each target (normalized pixels; an EMA teacher's
features), everything else equal; then `compare` at 10 labels per class: fine-tuned, and from scratch with the same and
with the best of several schedules. Label draws and training seeds are the same for all, draw s takes pretraining s mod
5, so differences are paired by pretraining and draw; their intervals are over new pretrainings, draws and test images.
Nothing here was tuned: the recipe is `small-cnn` with a shorter pretraining, and the ViT's own settings are written
below. An interrupted run resumes.

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
from unmask.comparison.plan import all_trials
from unmask.comparison.table import values_per_image
from unmask.config import ClassifyRecipe, CompareConfig, EncoderConfig
from unmask.config.names import change
from unmask.data.load import load_data
from unmask.inference.estimate import interval_of
from unmask.inference.hierarchy import PerImage, estimate_over, paired_differences
from unmask.recipes import Recipe
from unmask.runs.metrics import ValidationRow, read_metrics, rows_of
from unmask.runs.read import read_config

BUDGET, TARGETS, SEEDS = 10, ("normalized_pixels", "ema_teacher"), range(5)
DRAWS = 10
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
    config = one.compare_config(budgets=(BUDGET,), draws=DRAWS, arms=arms, pretrained=tuple(runs), jobs=jobs)
    return unmask.compare(config, out, resume=out.exists(), progress=False).folder


def values_of(out: Path, arm: str) -> PerImage:
    """Whether each test image is named rightly, by pretraining and draw."""
    config = read_config(out)
    assert isinstance(config, CompareConfig)
    keys = [key for key in all_trials(config) if key.arm == arm]
    data = load_data(config.data, labels=True, progress=False)
    return values_per_image(keys, out, data)[arm, BUDGET, "test"]


def estimated(images: PerImage) -> str:
    """The mean in percent and its 95 % interval over pretrainings, label draws and test images."""
    percent = {key: 100 * row for key, row in images.items()}
    return str(interval_of(estimate_over({key: float(row.mean()) for key, row in percent.items()}, percent), 0.95))


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
    known: dict[str, PerImage] = {}
    for target in TARGETS:
        runs = [pretrained(one, target, seed, args.out / f"{target}_{seed}") for seed in SEEDS]
        found[f"pretraining, {target}"] = [health(run) for run in runs]
        # The scratch arms do not depend on the target: the best one is trained beside the first target only.
        arms = ("mrp", "scratch_same", "scratch_best") if target == TARGETS[0] else ("mrp", "scratch_same")
        out = compared(one, runs, arms, args.out / f"compare_{target}", args.jobs)
        known |= {target if arm == "mrp" else arm: values_of(out, arm) for arm in arms}
    found["accuracy"] = {name: estimated(values) for name, values in known.items()}
    for first, second in (TARGETS[::-1], *((t, s) for t in TARGETS for s in ("scratch_same", "scratch_best"))):
        found[f"{first} - {second}"] = estimated(paired_differences(known[first], known[second]))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

"""Does pretraining help segmentation with few masks? Comparisons on the sets of segmentation_sets.py, as a table.

64-pixel images, a BatchNorm ResNet with cells of 4 pixels and a U-Net, 5, 10 and 40 masks. Every choice was made
on validation images (`--evaluate-on val`). An interrupted run resumes; --plan prints only the time.

Run: python benchmarks/segmentation_sets.py stamps SETS/stamps
     python benchmarks/segmentation_sets.py multiview SETS/multiview
     python benchmarks/segmentation_gain.py SETS OUT [--draws 5] [--pretrainings 2] [--steps 1000] [--plan]
"""

import argparse
from dataclasses import replace
from pathlib import Path

import unmask
from unmask.config import (
    AugmentConfig,
    ClassifyRecipe,
    CompareConfig,
    DataConfig,
    EncoderConfig,
    MaskConfig,
    OptimizerConfig,
    PretrainRecipe,
    TargetConfig,
)

SETS = ("stamps", "multiview")
BUDGETS = ("total:5", "total:10", "total:40")
ARMS = ("mrp", "scratch_same", "scratch_best", "probe_mrp", "probe_random")
ENCODER = EncoderConfig(
    encoder="resnet10t",
    encoder_options={
        "channels": (16, 32, 64, 96),
        "stem_width": 8,
        "stem_type": "deep",
        "avg_down": False,
        "output_stride": 8,
    },
)
"""Its last map has a position of 8 pixels: four cells. A U-Net reads its maps of strides 2, 4 and 8."""


def setting(folder: Path, wanted: argparse.Namespace) -> CompareConfig:
    """The comparison of one set."""
    augment = AugmentConfig(crop_scale=(0.6, 1.0), flip_horizontal=0.5)
    finetune = ClassifyRecipe(
        augment=augment,
        optimizer=OptimizerConfig(
            steps=wanted.steps, batch_size=16, lr=wanted.lr, betas=(0.9, 0.999), precision=wanted.precision
        ),
        label_smoothing=0.0,
    )
    pretrained = tuple(sorted(wanted.pretrained.glob(f"{folder.name}_*"))) if wanted.pretrained else ()
    longer = replace(finetune, optimizer=replace(finetune.optimizer, steps=2 * wanted.steps))
    return CompareConfig(
        data=DataConfig(data=str(folder), image_size=(64, 64)),
        encoder=ENCODER,
        pretrain=PretrainRecipe(
            augment=augment,
            mask=MaskConfig(cell=4, mask_ratio=wanted.mask_ratio),
            target=TargetConfig(target="normalized_pixels", decoder_width=32, decoder_depth=1),
            optimizer=OptimizerConfig(steps=wanted.pretrain_steps, batch_size=64, lr=2e-3, precision=wanted.precision),
        ),
        finetune=finetune,
        scratch_candidates=(finetune, longer),
        budgets=BUDGETS,
        draws=wanted.draws,
        pretrainings=None if pretrained else wanted.pretrainings,
        pretrained=pretrained,
        tuning_draws=wanted.tuning_draws,
        arms=tuple(wanted.arms),
        given="none",
        metric="miou",
        evaluate_on=wanted.evaluate_on,
        keep="best",
        jobs=wanted.jobs,
    )


def main() -> None:
    """Train what is missing, then print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", choices=SETS, nargs="+", default=SETS)
    parser.add_argument("--arms", nargs="+", default=ARMS)
    parser.add_argument("--draws", type=int, default=6)
    parser.add_argument("--pretrainings", type=int, default=2)
    parser.add_argument("--pretrained", type=Path, help="folder of finished pretrainings, stamps_0, stamps_1, ...")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--pretrain-steps", type=int, default=3000)
    parser.add_argument("--mask-ratio", type=float, default=0.6)
    parser.add_argument("--precision", choices=("no", "bf16"), default="no")
    parser.add_argument("--tuning-draws", type=int, default=2)
    parser.add_argument("--evaluate-on", choices=("test", "val"), default="test")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--plan", action="store_true", help="print how long it takes, train nothing")
    wanted = parser.parse_args()
    for name in wanted.only:
        config = setting(wanted.sets / name, wanted)
        if wanted.plan:
            print(f"{name}: {unmask.forecast(config)}")
            continue
        out = wanted.out / name
        run = unmask.compare(config, out, resume=out.exists())
        print(table(name, run))


def table(name: str, run: unmask.Comparison) -> str:
    """Means and verdicts in Markdown, in percent."""
    summary = run.summary
    lines = [f"{name}", "", "| masks | arm | mIoU, % | interval |", "|---|---|---|---|"]
    for one in summary.means:
        if one.metric == "miou":
            interval = "–" if one.low is None or one.high is None else f"[{100 * one.low:.1f}, {100 * one.high:.1f}]"
            lines.append(f"| {one.budget} | {one.arm} | {100 * one.mean:.1f} | {interval} |")
    return "\n".join([*lines, "", *(one.sentence for one in summary.verdicts)])


if __name__ == "__main__":
    main()
